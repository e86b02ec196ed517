"""Synchronous calls (`window: now` and `flex`): asked by threads, kept on this machine until they are facts."""
