"""What happened, as numbered events: the only facts there are, and what follows from them."""
