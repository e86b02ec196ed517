"""Problem families of Literature: metre, vocabulary, catalogues and the combinatorics of forms."""

from __future__ import annotations

from fractions import Fraction
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints

_family = partial(Family, "Literature")


def yule(v: tuple[int, ...]) -> Fraction:
    """Yule's K of a frequency spectrum: v[i-1] words occur i times."""
    tokens = sum(i * count for i, count in enumerate(v, 1))
    return Fraction(10**4 * (sum(i * i * count for i, count in enumerate(v, 1)) - tokens), tokens**2)


def delta(a: Fraction, b: Fraction, s: Fraction, c: Fraction, d: Fraction, t: Fraction) -> Fraction:
    return (abs(a - b) / s + abs(c - d) / t) / 2


FAMILIES = (
    _family(
        "scansion",
        "A ballad has {s} stanzas, each with {p} lines of iambic tetrameter and {t} lines of iambic trimeter; "
        "{f} of its lines carry an extra unstressed syllable at the end, and {h} lines lack their first syllable.",
        "the number of syllables in the whole ballad",
        {"s": Int(6, 90), "p": Int(2, 6), "t": Int(2, 6), "f": Int(3, 24), "h": Int(1, 12)},
        lambda s, p, t, f, h: s * (8 * p + 6 * t) + f - h,
        "Eight and six syllables a line, then the exceptions.",
    ),
    _family(
        "combinatory_sonnets",
        "A combinatory poem offers {a} versions of each of its first {k} lines, {b} versions of each "
        "of the next {h} lines and {c} versions of each of the last {m} lines, all freely combined.",
        "the number of different poems that it contains",
        {"a": Int(2, 10), "k": Int(2, 6), "b": Int(2, 10), "h": Int(2, 6), "c": Int(2, 10), "m": Int(2, 4)},
        lambda a, k, b, h, c, m: a**k * b**h * c**m,
        "Independent choices multiply.",
    ),
    _family(
        "type_token",
        "A prose sample of {n} running words contains {a} words that occur once, {b} words that occur twice, "
        "{c} words that occur three times and {d} words that occur more often.",
        "the type–token ratio of the sample",
        {"n": Int(3000, 9000), "a": Int(200, 400), "b": Int(100, 200), "c": Int(50, 100), "d": Int(20, 90)},
        lambda n, a, b, c, d: Fraction(a + b + c + d, n),
        "Types over tokens.",
        "decimal",
        4,
    ),
    _family(
        "motif_census",
        "A catalogue describes {n} lyric poems, of which {a} mention the sea, {b} mention the night and {c} "
        "mention a mirror; {d} mention sea and night, {e} sea and mirror, {f} night and mirror, and {g} all three.",
        "the number of poems that mention none of the three motifs",
        {
            "n": Int(900, 2500),
            "a": Int(120, 300),
            "b": Int(120, 300),
            "c": Int(100, 300),
            "d": Int(30, 50),
            "e": Int(30, 50),
            "f": Int(30, 50),
            "g": Int(5, 25),
        },
        lambda n, a, b, c, d, e, f, g: n - a - b - c + d + e + f - g,
        "Inclusion and exclusion.",
    ),
    _family(
        "yule",
        "In a novella {v} words occur exactly one, two, three, four and five times respectively, and no word occurs "
        "more often.",
        "Yule's characteristic K, defined as 10000 (Σ i² V(i) − N) / N²",
        {"v": Ints(5, 20, 400)},
        yule,
        "Sum the spectrum with the squares of the frequencies.",
        "decimal",
        3,
    ),
    _family(
        "record_linkage",
        "Two library catalogues describe {m} editions in common; a linkage rule proposes {p} pairs of "
        "records, of which {c} are correct.",
        "the F1 score of the rule",
        {"m": Int(300, 900), "p": Int(250, 950), "c": Int(100, 249)},
        lambda m, p, c: Fraction(2 * c, m + p),
        "The harmonic mean of precision and recall.",
        "fraction",
    ),
    _family(
        "delta",
        "Per thousand words, a disputed text has {a} and {c} occurrences of two function words where the candidate "
        "author has {b} and {d}; over the corpus their standard deviations are {s} and {t}.",
        "Burrows's Delta over these two words, the mean absolute difference of the z-scores",
        {
            "a": Dec("20.0", "60.0", 1),
            "c": Dec("5.0", "30.0", 1),
            "b": Dec("20.0", "60.0", 1),
            "d": Dec("5.0", "30.0", 1),
            "s": Dec("1.50", "7.00", 2),
            "t": Dec("0.80", "4.00", 2),
        },
        delta,
        "The corpus means cancel in the differences.",
        "decimal",
        3,
    ),
)
