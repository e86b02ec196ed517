"""What a report tells, in its order: a query each, a sentence on how to read it, a chart. Data alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """``query``: a named query. ``note``: how to read what it shows."""

    name: str
    title: str
    note: str
    query: str
    chart: str | None = None


SECTIONS = (
    Section(
        "costs",
        "Cost by stage and model",
        "What was billed, beside what the estimate said before. The last row of the table is the sum.",
        "@costs",
        "costs",
    ),
    Section("waste", "Paid for nothing", "Money that did not end in the data set, and why.", "@waste"),
    Section(
        "outcomes",
        "Outcomes",
        "What became of every result; attempts: the most often that one request was sent.",
        "@outcomes",
        "outcomes",
    ),
    Section(
        "batches",
        "Batches",
        "Each sending to a provider, and the hours until its results were kept.",
        "@batch_hours",
        "batches",
    ),
    Section(
        "funnel",
        "What survives",
        "How many are left after each step; in brackets the part of the step before.",
        "@funnel",
        "funnel",
    ),
    Section(
        "fates",
        "What became of the problems, and what that cost",
        "All stages together: every dollar of the run is in one row.",
        "@rejected",
        "rejected",
    ),
    Section(
        "coverage",
        "Coverage by subject",
        "Problems per topic, topics left empty, correct traces.",
        "@coverage",
    ),
    Section(
        "topics",
        "Coverage by topic",
        "A rectangle is a topic, as large as it has problems in the data set; the more of them have a correct trace, "
        "the stronger its colour. Topics without a problem are in the table alone.",
        "@topic_coverage",
        "topics",
    ),
    Section(
        "lengths",
        "Lengths",
        "Texts by their number of words; each bar is twice as wide as the one before.",
        "@length_bins",
        "lengths",
    ),
    Section("length_figures", "Lengths, in words and tokens", "Mean, median and 95 % quantile.", "@lengths"),
    Section(
        "agreement",
        "Do the verifiers agree?",
        "Estimated for all candidates, of which the second verifier saw a part. Kappa is Cohen's.",
        "@agreement",
        "agreement",
    ),
    Section("screening", "What the free checks took out", "Drafts by reason, and what was made of them.", "@screening"),
    Section(
        "difficulty",
        "Difficulty for a base model",
        "pass@k by subject. Believe the rows of verified references: a wrong one looks like a hard problem.",
        "@difficulty",
        "difficulty",
    ),
    Section(
        "solved_shares",
        "How often problems are solved",
        "Problems by the part of the base model's tries that solved them.",
        "@solved_shares",
        "solved_shares",
    ),
    Section(
        "contamination",
        "Contamination by benchmark",
        "The paper's mean, and what it hides: how many problems share wording, and how many are on the drop list.",
        "@contamination",
    ),
    Section(
        "offenders",
        "Contamination: the offenders",
        "Problems that share wording with a benchmark question, worst first, with the longest passage that both have.",
        "@offenders",
    ),
    Section("quality", "Quality by judges", "Mean points (3 is best of three) with 95 % intervals.", "@quality"),
)

STAGES = Section(
    "stages",
    "Stages",
    "How many requests each stage wants, how many rows it made of the answers, how many are still there at the end.",
    "status",
    "stages",
)
"""The funnel of any pipeline; its rows are those of ``status``."""
