"""Functions that SQL can call: one file each, pure, NULL in gives NULL out, and no text makes them raise.

Adding one is a file and a line in ``FUNCTIONS``; the warehouse registers them under their names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from chimera_batch.functions.answer_parts import answer_parts
from chimera_batch.functions.answers_match import answers_match
from chimera_batch.functions.bootstrap_interval import bootstrap_interval
from chimera_batch.functions.compare_answers import FINDING, PARTS, compare_answers, compare_parts
from chimera_batch.functions.count_tokens import count_tokens
from chimera_batch.functions.final_answer import final_answer
from chimera_batch.functions.minhash import minhash
from chimera_batch.functions.ngram_containment import ngram_containment
from chimera_batch.functions.ngram_jaccard import ngram_jaccard
from chimera_batch.functions.particulars import PARTICULARS, particulars
from chimera_batch.functions.pass_at_k import pass_at_k
from chimera_batch.functions.screen_problem import screen_problem
from chimera_batch.functions.screen_topic import screen_topic
from chimera_batch.functions.screen_trace import screen_trace
from chimera_batch.functions.sentence_embedding import sentence_embedding
from chimera_batch.functions.shared_passage import shared_passage
from chimera_batch.functions.text_key import text_key
from chimera_batch.functions.token_jaccard import token_jaccard
from chimera_batch.functions.topic_blocks import BLOCKS, topic_blocks
from chimera_batch.functions.topic_fuzz import topic_fuzz
from chimera_batch.functions.topic_key import topic_key
from chimera_batch.functions.trace_fits import trace_fits


@dataclass(frozen=True, slots=True)
class Function:
    """A Python function under its SQL name; types are DuckDB's. It never sees NULL."""

    name: str
    call: Callable[..., Any]
    parameters: tuple[str, ...]
    returns: str
    extra: str = ""  # the optional part of this package that it needs


FUNCTIONS: tuple[Function, ...] = (
    Function("topic_key", topic_key, ("VARCHAR",), "VARCHAR"),
    Function("topic_blocks", topic_blocks, ("VARCHAR",), BLOCKS),
    Function("topic_fuzz", topic_fuzz, ("VARCHAR", "VARCHAR"), "DOUBLE"),
    Function("screen_topic", screen_topic, ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR"),
    Function("text_key", text_key, ("VARCHAR",), "VARCHAR"),
    Function("token_jaccard", token_jaccard, ("VARCHAR", "VARCHAR"), "DOUBLE"),
    Function("ngram_jaccard", ngram_jaccard, ("VARCHAR", "VARCHAR", "BIGINT"), "DOUBLE"),
    Function("ngram_containment", ngram_containment, ("VARCHAR", "VARCHAR", "BIGINT"), "DOUBLE"),
    Function("shared_passage", shared_passage, ("VARCHAR", "VARCHAR"), "VARCHAR"),
    Function("answers_match", answers_match, ("VARCHAR", "VARCHAR"), "VARCHAR"),
    Function("compare_answers", compare_answers, ("VARCHAR", "VARCHAR"), FINDING),
    Function("compare_parts", compare_parts, ("VARCHAR", "VARCHAR"), PARTS),
    Function("screen_trace", screen_trace, ("VARCHAR", "VARCHAR", "VARCHAR"), "VARCHAR"),
    Function("trace_fits", trace_fits, ("VARCHAR", "VARCHAR"), "DOUBLE"),
    Function("answer_parts", answer_parts, ("VARCHAR",), "VARCHAR[]"),
    Function("final_answer", final_answer, ("VARCHAR",), "VARCHAR"),
    Function("screen_problem", screen_problem, ("VARCHAR", "VARCHAR"), "VARCHAR"),
    Function("minhash", minhash, ("VARCHAR", "BIGINT", "BIGINT"), "BIGINT[]"),
    Function("particulars", particulars, ("VARCHAR",), PARTICULARS),
    Function("sentence_embedding", sentence_embedding, ("VARCHAR",), "FLOAT[]", extra="embed"),
    Function("count_tokens", count_tokens, ("VARCHAR", "VARCHAR"), "BIGINT"),
    Function("pass_at_k", pass_at_k, ("BIGINT", "BIGINT", "BIGINT"), "DOUBLE"),
    Function("bootstrap_interval", bootstrap_interval, ("DOUBLE[]",), "STRUCT(low DOUBLE, high DOUBLE)"),
)
