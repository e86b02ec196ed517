"""What one pass of the runner does to a stage, from its rows to its table."""
