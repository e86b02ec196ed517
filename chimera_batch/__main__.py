"""``python -m chimera_batch`` and the console script ``chimera-batch``."""

from __future__ import annotations

from chimera_batch.cli import cli


def main() -> None:
    """Run one command line; leaves with its exit code."""
    cli.main(prog_name="chimera-batch")


if __name__ == "__main__":
    main()
