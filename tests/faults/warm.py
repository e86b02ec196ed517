"""Imported once by the process that every run is forked from: all that a run would load by itself.

Nothing here starts a thread, so that a fork finds no lock held.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # it would start its threads when numpy is imported

import anthropic  # noqa: F401 - each of these is imported to be there
import duckdb  # noqa: F401
import fastjsonschema  # noqa: F401
import httpcore2  # noqa: F401
import jinja2  # noqa: F401
import msgspec  # noqa: F401
import numpy  # noqa: F401
import openai  # noqa: F401

import chimera_batch.cli
import chimera_batch.providers.anthropic
import chimera_batch.providers.openai
import chimera_batch.runner
import chimera_batch.stores.local
import chimera_batch.stores.s3
import chimera_batch.verbs.quoting
import chimera_batch.verbs.statusing
import chimera_batch.warehouse  # noqa: F401
import tests.faults.pipeline  # noqa: F401
from chimera_batch.cost import tokens

for model in ("gpt-6-luna", "claude-haiku-5-5"):
    tokens.counter(model).count("a vocabulary takes most of a second to load")
