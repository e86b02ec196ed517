"""``python -m chimera_batch`` and the console script ``chimera-batch``."""

from __future__ import annotations

import gc

from chimera_batch.cli import cli

_YOUNG = 20_000


def main() -> None:
    """Run one command line; leaves with its exit code."""
    gc.set_threshold(_YOUNG)  # what is imported makes many objects and no garbage: Python would look at 700 each time
    cli.main(prog_name="chimera-batch")


if __name__ == "__main__":
    main()
