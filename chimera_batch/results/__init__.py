"""A provider's bytes into rows: every id that was sent is accounted for."""
