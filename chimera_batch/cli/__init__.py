"""The command line. Parse, one call, print; only click lives here."""

from chimera_batch.cli.group import cli

__all__ = ["cli"]
