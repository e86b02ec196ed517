"""Problem families of Computer Science."""

from __future__ import annotations

import heapq
import math
from collections import OrderedDict
from fractions import Fraction
from functools import partial

from chimera_batch.rehearsal.minds.family import Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints

_family = partial(Family, "Computer Science")


def generator(s: int, a: int, c: int, m: int, n: int) -> int:
    for _ in range(n):
        s = (a * s + c) % m
    return s


def divide_and_conquer(a: int, b: int, c: int, d: int, k: int) -> int:
    cost, size = c, 1
    for _ in range(k):
        size *= b
        cost = a * cost + d * size
    return cost


def knapsack(w: tuple[int, ...], v: tuple[int, ...], c: int) -> int:
    best = [0] * (c + 1)
    for weight, worth in zip(w, v, strict=True):
        for room in range(c, weight - 1, -1):
            best[room] = max(best[room], best[room - weight] + worth)
    return best[c]


def cache_misses(k: int, q: tuple[int, ...]) -> int:
    lines: OrderedDict[int, None] = OrderedDict()
    misses = 0
    for page in q:
        if page in lines:
            lines.move_to_end(page)
            continue
        misses += 1
        lines[page] = None
        if len(lines) > k:
            lines.popitem(last=False)
    return misses


def huffman_bits(f: tuple[int, ...]) -> int:
    heap = list(f)
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total


def runs_free(n: int, k: int, m: int) -> int:
    """Binary strings of length n without k ones in a row, modulo m."""
    ending = [1] + [0] * (k - 1)  # by the number of ones at the end
    for _ in range(n):
        ending = [sum(ending) % m, *ending[:-1]]
    return sum(ending) % m


FAMILIES = (
    _family(
        "generator",
        "A linear congruential generator starts from the seed {s}; each step multiplies the state by {a}, "
        "adds {c} and reduces the result modulo {m}.",
        "the state after {n} steps",
        {"s": Int(1, 999), "a": Int(3, 199), "c": Int(1, 199), "m": Int(1009, 9973), "n": Int(5, 40)},
        generator,
        "Apply the update step by step.",
    ),
    _family(
        "bloom_filter",
        "A Bloom filter of {m} bits uses {k} hash functions and has received {n} distinct keys; take the "
        "usual estimate (1 − e^(−kn/m))^k.",
        "the estimated probability of a false positive",
        {"m": Int(4000, 9000), "k": Int(2, 7), "n": Int(500, 1500)},
        lambda m, k, n: (1 - math.exp(-k * n / m)) ** k,
        "Insert the load into the estimate.",
        "decimal",
        5,
    ),
    _family(
        "divide_and_conquer",
        "An algorithm costs {c} operations on an input of size 1; on a larger input of size n it "
        "makes {a} recursive calls on inputs of size n/{b} and spends {d} n further operations.",
        "the exact cost for n equal to {b} to the power {k}",
        {"c": Int(1, 30), "a": Int(2, 9), "b": Int(2, 6), "d": Int(1, 30), "k": Int(3, 8)},
        divide_and_conquer,
        "Unroll the recurrence from size 1 upwards.",
    ),
    _family(
        "knapsack",
        "Six items weigh {w} kilograms and are worth {v} crowns, in this order; each may be packed at most "
        "once, and the bag carries {c} kilograms.",
        "the greatest total worth in crowns that fits into the bag",
        {"w": Ints(6, 4, 25), "v": Ints(6, 10, 99), "c": Int(30, 60)},
        knapsack,
        "Dynamic programming over the capacity.",
    ),
    _family(
        "cache_misses",
        "A cache with {k} lines and least-recently-used eviction is empty at first and then serves the "
        "page requests {q}, in this order.",
        "the number of cache misses",
        {"k": Int(3, 5), "q": Ints(18, 1, 8)},
        cache_misses,
        "Simulate the cache request by request.",
    ),
    _family(
        "product_bits",
        "A hardware unit multiplies {a} by {b} and takes the bitwise exclusive or of the product and {c}.",
        "the number of one bits in the result",
        {"a": Int(1000, 99999), "b": Int(1000, 99999), "c": Int(1000, 99999)},
        lambda a, b, c: (a * b ^ c).bit_count(),
        "Form the word and count its ones.",
    ),
    _family(
        "huffman_bits",
        "Seven symbols occur {f} times in a file, and the file is encoded with an optimal prefix code.",
        "the length of the encoded file in bits",
        {"f": Ints(7, 5, 250)},
        huffman_bits,
        "Huffman: the merged weights add up to the length.",
    ),
    _family(
        "speedup",
        "Exactly {p} percent of a program's running time can be spread evenly over {n} processors, and the rest "
        "stays sequential.",
        "the speedup that Amdahl's law promises",
        {"p": Dec("50.0", "99.5", 1), "n": Int(3, 512)},
        lambda p, n: 1 / (1 - p / 100 + Fraction(p) / (100 * n)),
        "Amdahl's law.",
        "decimal",
        3,
    ),
    _family(
        "runs_free",
        "A line code admits the binary words of length {n} in which no {k} ones stand next to each other.",
        "the remainder of the number of admissible words on division by {m}",
        {"n": Int(12, 60), "k": Int(2, 5), "m": Int(1009, 9973)},
        runs_free,
        "Keep the number of ones at the end of the word as state.",
    ),
)
