"""``python -m chimera_batch`` and the console script ``chimera-batch``."""

from __future__ import annotations

import gc

from chimera_batch.cli import cli

_YOUNG = 20_000  # objects


def main() -> None:
    """Run one command line; leaves with its exit code."""
    gc.set_threshold(_YOUNG)  # imports make many objects and no garbage: Python would look for it after every 700
    cli.main(prog_name="chimera-batch")


if __name__ == "__main__":
    main()
