"""Installed, as far as anybody asks."""
