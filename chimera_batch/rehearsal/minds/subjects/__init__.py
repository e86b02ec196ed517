"""The problem families, one module per subject: declarations, each a statement and the computation behind it."""
