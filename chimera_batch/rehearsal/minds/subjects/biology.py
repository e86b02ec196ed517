"""Problem families of Biology."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from math import comb

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Letters

_family = partial(Family, "Biology")
_PAIR = str.maketrans("ACGT", "TGCA")


def projection(j: int, a: int, f: Fraction, s: Fraction, t: Fraction, n: int) -> Fraction:
    young, old = Fraction(j), Fraction(a)
    for _ in range(n):
        young, old = f * old, s * young + t * old
    return young + old


def drawn_recessive(n: int, d: int, k: int, j: int) -> Fraction:
    return Fraction(comb(d, j) * comb(n - d, k - j), comb(n, k))


FAMILIES = (
    _family(
        "allele_share",
        "A survey of one locus with two alleles counts {a} homozygotes AA, {b} heterozygotes Aa and {c} "
        "homozygotes aa.",
        "the frequency of the allele A in the sample",
        {"a": Int(10, 900), "b": Int(10, 900), "c": Int(10, 900)},
        lambda a, b, c: Fraction(2 * a + b, 2 * (a + b + c)),
        "Count alleles, two per individual.",
        "fraction",
    ),
    _family(
        "reverse_complement",
        "One strand of a DNA duplex reads 5′-{s}-3′.",
        "the sequence of the opposite strand, written from its 5′ end to its 3′ end in the letters A, C, G, T",
        {"s": Letters("ACGT", 12, 20)},
        lambda s: s.translate(_PAIR)[::-1],
        "Pair every base and read backwards.",
        "text",
    ),
    _family(
        "doubling",
        "A culture starts with {n} cells and doubles every {d} minutes without lag.",
        "the number of cells after {t} minutes, in thousands",
        {"n": Int(200, 5000), "d": Dec("18.0", "95.0", 1), "t": Int(100, 420)},
        lambda n, d, t: n * 2.0 ** (t / float(d)) / 1000,
        "Exponential growth with the doubling time.",
        "decimal",
        2,
    ),
    _family(
        "recapture",
        "In a mark–recapture study {m} animals are marked, a later catch numbers {c} animals, and {r} of these "
        "carry a mark; Chapman's estimator (M+1)(C+1)/(R+1) − 1 is used.",
        "the estimated size of the population",
        {"m": Int(60, 400), "c": Int(60, 400), "r": Int(5, 55)},
        lambda m, c, r: Fraction((m + 1) * (c + 1), r + 1) - 1,
        "Insert the counts.",
        "decimal",
        2,
    ),
    _family(
        "inhibition",
        "An enzyme with maximal rate {v} µmol/min and Michaelis constant {k} mM works at {s} mM substrate in "
        "the presence of {i} mM of a competitive inhibitor with inhibition constant {j} mM.",
        "the rate of the reaction",
        {
            "v": Dec("5.0", "90.0", 1),
            "k": Dec("0.20", "8.00", 2),
            "s": Dec("0.20", "15.00", 2),
            "i": Dec("0.10", "9.00", 2),
            "j": Dec("0.10", "5.00", 2),
        },
        lambda v, k, s, i, j: v * s / (k * (1 + i / j) + s),
        "The inhibitor raises the apparent Michaelis constant.",
        "decimal",
        3,
        "µmol/min",
    ),
    _family(
        "projection",
        "A bird population has {j} juveniles and {a} adults; each year every adult yields {f} juveniles, a "
        "share {s} of the juveniles becomes adult, and a share {t} of the adults survives.",
        "the total number of birds that this matrix model projects after {n} years",
        {
            "j": Int(20, 400),
            "a": Int(20, 400),
            "f": Dec("0.40", "2.50", 2),
            "s": Dec("0.20", "0.80", 2),
            "t": Dec("0.30", "0.95", 2),
            "n": Int(2, 6),
        },
        projection,
        "Apply the stage matrix year by year.",
        "decimal",
        2,
    ),
    _family(
        "map_distance",
        "A test cross yields {p} offspring of the two parental classes and {r} and {q} offspring of the two "
        "recombinant classes.",
        "the map distance between the two loci",
        {"p": Int(400, 3000), "r": Int(10, 190), "q": Int(10, 190)},
        lambda p, r, q: Fraction(100 * (r + q), p + r + q),
        "The share of recombinants, in percent.",
        "decimal",
        2,
        "cM",
    ),
    _family(
        "drawn_recessive",
        "Of {n} plants in an F2 generation {d} show the recessive trait, and {k} of the plants are drawn at "
        "random without replacement.",
        "the probability that exactly {j} of the plants drawn show the trait",
        {"n": Int(40, 400), "d": Int(8, 32), "k": Int(4, 8), "j": Int(0, 4)},
        drawn_recessive,
        "Hypergeometric counts over all draws.",
        "fraction",
    ),
)
