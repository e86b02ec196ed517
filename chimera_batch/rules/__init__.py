"""Decisions about one attempt or one stage, each a pure function of the facts."""
