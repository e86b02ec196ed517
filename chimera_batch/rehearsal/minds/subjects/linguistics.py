"""Problem families of Linguistics: inventories, paradigms, distances and frequencies."""

from __future__ import annotations

import math
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints, Pick

_family = partial(Family, "Linguistics")
_WORDS = Pick(
    tuple(
        """
mother brother winter summer harvest kitchen garden window mountain river shepherd candle thunder lantern
whisper feather anchor harbour meadow orchard needle saddle blanket hammer copper silver marble timber barley
butter pepper ginger saffron cinnamon almond walnut chestnut hazel cherry plum apricot turnip carrot cabbage
lettuce parsley thistle heather clover willow poplar cypress juniper falcon sparrow swallow starling heron
pigeon badger weasel otter hedgehog salmon herring sturgeon lobster oyster beetle cricket hornet spider serpent
lizard tortoise
""".split()  # noqa: SIM905 - a list literal of words is a column of quotes
    )
)


def edit_cost(x: str, y: str, i: int, d: int, s: int) -> int:
    row = [j * i for j in range(len(y) + 1)]
    for a in x:
        above, row[0] = row[0], row[0] + d
        for j, b in enumerate(y, 1):
            above, row[j] = row[j], min(row[j] + d, row[j - 1] + i, above + (0 if a == b else s))
    return row[-1]


def entropy(f: tuple[int, ...]) -> float:
    total = sum(f)
    return -sum(n / total * math.log2(n / total) for n in f)


FAMILIES = (
    _family(
        "edit_cost",
        "An alignment turns the word “{x}” into “{y}”, where an insertion costs {i}, a deletion costs {d}, a "
        "substitution costs {s} and a match is free.",
        "the cost of the cheapest alignment",
        {"x": _WORDS, "y": _WORDS, "i": Int(1, 5), "d": Int(1, 5), "s": Int(1, 8)},
        edit_cost,
        "Dynamic programming over prefixes of both words.",
    ),
    _family(
        "syllables",
        "A language has {c} consonants, of which any one or none may open a syllable, {k} permitted onset "
        "clusters besides, {v} vowels and {d} consonants that may close a syllable, which may also stay open.",
        "the number of different syllables that this phonotactics permits",
        {"c": Int(8, 40), "k": Int(3, 60), "v": Int(3, 16), "d": Int(2, 20)},
        lambda c, k, v, d: (1 + c + k) * v * (1 + d),
        "Onsets times nuclei times codas.",
    ),
    _family(
        "paradigm",
        "An adjective inflects for {a} cases, {b} numbers and {g} genders, and in every inflected paradigm {s} "
        "cells repeat the form of another cell; of {n} adjectives, {i} have one invariable form.",
        "the number of distinct adjective forms in this lexicon, if no two adjectives share a form",
        {"a": Int(4, 12), "b": Int(2, 3), "g": Int(2, 5), "s": Int(1, 9), "n": Int(400, 4000), "i": Int(5, 99)},
        lambda a, b, g, s, n, i: (n - i) * (a * b * g - s) + i,
        "Cells less repeated cells, for every inflected adjective.",
    ),
    _family(
        "zipf",
        "In a corpus the most frequent word occurs {f} times, and frequency falls as the rank to the power −{s}.",
        "the frequency that this law predicts for the word of rank {r}",
        {"f": Int(20000, 90000), "s": Dec("0.850", "1.200", 3), "r": Int(3, 300)},
        lambda f, s, r: f / r ** float(s),
        "Divide by the rank raised to the exponent.",
        "decimal",
        2,
    ),
    _family(
        "entropy",
        "Five allophones are counted {f} times in a recording.",
        "the Shannon entropy of their relative frequencies",
        {"f": Ints(5, 15, 900)},
        entropy,
        "Sum minus p log p over the five shares.",
        "decimal",
        4,
        "bits",
    ),
    _family(
        "glottochronology",
        "Two related languages share {c} percent of a basic word list, and each is assumed to retain "
        "{r} percent of it per millennium.",
        "the time since they separated",
        {"c": Dec("25.0", "92.0", 1), "r": Dec("74.0", "89.0", 1)},
        lambda c, r: math.log(float(c) / 100) / (2 * math.log(float(r) / 100)),
        "Both branches lose words independently.",
        "decimal",
        3,
        "millennia",
    ),
    _family(
        "collocation",
        "In a corpus of {n} bigrams, one word begins {x} of them, another ends {y} of them, and the pair "
        "itself occurs {p} times.",
        "the pointwise mutual information of the pair, to base 2",
        {"n": Int(200000, 900000), "x": Int(300, 3000), "y": Int(300, 3000), "p": Int(20, 250)},
        lambda n, x, y, p: math.log2(n * p / (x * y)),
        "Compare the joint frequency with independence.",
        "decimal",
        3,
    ),
    _family(
        "harmony",
        "In a language with vowel harmony a word takes all its vowels either from {a} front or from {b} back "
        "vowels; every syllable is one of {c} consonants followed by a vowel.",
        "the number of possible words of exactly {n} syllables",
        {"a": Int(2, 9), "b": Int(2, 9), "c": Int(8, 60), "n": Int(2, 6)},
        lambda a, b, c, n: (a * c) ** n + (b * c) ** n,
        "Two disjoint sets of words, counted apart.",
    ),
)
