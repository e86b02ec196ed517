"""Run LLM data pipelines at batch prices. The Python interface is ``chimera_batch.api``."""

__version__ = "0.1.0"
