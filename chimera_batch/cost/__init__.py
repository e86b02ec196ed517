"""Money and tokens: what a request costs, what the rest of a run will, how sure that is, and how long it takes."""
