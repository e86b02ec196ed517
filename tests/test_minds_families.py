"""The problem families: what is written can be read back and solved again, and the solutions are right."""

from __future__ import annotations

import itertools
import random
from fractions import Fraction as F
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.rehearsal.minds import families, fault_of, fingerprint, truth
from chimera_batch.rehearsal.minds.catalogue import families_of, recognise
from chimera_batch.rehearsal.minds.family import VERBS, Family
from chimera_batch.rehearsal.minds.params import Dec, Int, Ints, Letters, Param, Pick

SUBJECTS = (
    "Mathematics", "Computer Science", "Chemistry", "Physics", "Literature", "History", "Biology", "Linguistics",
)  # fmt: skip
BY_NAME = {family.name: family for family in families()}
TOPIC = "Spectral theory of graph Laplacians"

# Small cases that can be checked by hand or against well-known values.
CASES: dict[str, list[tuple[dict[str, Any], str]]] = {
    # Mathematics
    "recurrence": [({"a": 1, "b": 1, "p": 1, "q": 1, "n": 10, "m": 1000}, "89")],  # Fibonacci
    "divisors": [
        ({"a": 2, "b": 1, "c": 0, "d": 0, "e": 1}, "3"),  # 2, 6, 12 of the divisors of 12
        ({"a": 3, "b": 2, "c": 0, "d": 0, "e": 2}, "4"),  # of 72: 4, 12, 36, 8, 24, 72 without 4 and 36
    ],
    "one_colour": [({"r": 2, "g": 2, "b": 2, "k": 2}, "1/5")],
    "power_trace": [({"a": 1, "b": 1, "c": 1, "d": 0, "n": 5}, "11")],  # the fifth Lucas number
    "fourth_powers": [({"p": 6, "q": 11, "r": 6}, "98")],  # roots 1, 2, 3
    "avoiding_paths": [({"m": 2, "n": 2, "x": 1, "y": 1, "q": 1000}, "2")],
    "powers_mod": [({"a": 2, "b": 10, "c": 3, "d": 4, "m": 1000}, "105")],
    "integral": [({"a": 3, "b": 2, "c": 1, "t": 2}, "14"), ({"a": 1, "b": 1, "c": 1, "t": 1}, "11/6")],
    "remainders": [({"i": "3", "a": 2, "j": "5", "b": 3, "k": "7", "c": 2}, "23")],  # Sunzi's own
    "long_run": [({"a": 1, "m": 2, "b": 1, "n": 4}, "1/3")],
    "coprime_run": [({"n": 10, "a": 1, "b": 10}, "4")],  # 1, 3, 7, 9
    # Computer Science
    "generator": [({"s": 1, "a": 2, "c": 3, "m": 7, "n": 3}, "1")],  # 1, 5, 6, 1
    "bloom_filter": [({"m": 1000, "k": 1, "n": 1000}, "0.63212")],  # 1 − 1/e
    "divide_and_conquer": [({"c": 1, "a": 2, "b": 2, "d": 1, "k": 3}, "32")],  # n log n + n for n = 8
    "knapsack": [({"w": (1, 2, 3), "v": (6, 10, 12), "c": 5}, "22")],
    "cache_misses": [({"k": 2, "q": (1, 2, 1, 3, 2)}, "4")],
    "product_bits": [({"a": 3, "b": 5, "c": 1}, "3")],  # 15 xor 1 = 14
    "huffman_bits": [({"f": (1, 1, 2)}, "6")],
    "speedup": [({"p": F(50), "n": 2}, "1.333")],
    "runs_free": [({"n": 3, "k": 2, "m": 1000}, "5")],
    # Chemistry
    "buffer": [({"a": F(1, 10), "p": F("4.76"), "b": F(1)}, "5.760")],
    "gas_pressure": [({"v": F(1), "n": F(1), "t": 300}, "24.617 atm")],
    "blend": [({"a": 100, "c": F(1), "b": 300, "d": F("0.2")}, "0.4000 mol/L")],
    "nernst": [
        ({"e": F("1.1"), "n": 2, "q": F(1)}, "1.1000 V"),
        ({"e": F("1.1"), "n": 1, "q": F(10)}, "1.0408 V"),  # 59.16 mV a decade
    ],
    "first_order": [({"k": F("0.1"), "c": F(1), "t": 10}, "0.3679 mol/L")],
    "carbon_share": [({"c": 6, "h": 12, "o": 6}, "40.00 %")],  # glucose
    "arrhenius": [({"e": F(50), "s": 25, "t": 35}, "1.924")],
    "titration": [({"v": F(10), "b": F(20), "c": F("0.1")}, "0.10000 mol/L")],
    # Physics
    "fall": [({"h": F("4.905"), "v": F(10)}, "10.00 m")],
    "mixing": [({"a": 100, "s": F(20), "b": 100, "t": F(80), "r": F(1, 2)}, "40.00 °C")],
    "lens": [({"f": 100, "u": 200}, "200.00 mm")],
    "discharge": [({"c": F(1), "v": F(10), "r": F(1), "t": F(1)}, "3.679 V")],
    "collision": [({"m": 100, "v": F(2), "n": 300}, "1.000 m/s")],
    "period": [({"h": 35793}, "1436.06 min")],  # radius 42164 km: within a second of a sidereal day
    "flight": [({"t": F(10), "b": F("0.6")}, "2.248 km")],  # gamma = 1.25
    "doppler": [({"f": 333, "w": 10, "v": 10}, "353.00 Hz")],
    # Literature
    "scansion": [({"s": 2, "p": 2, "t": 2, "f": 1, "h": 2}, "55")],
    "combinatory_sonnets": [({"a": 10, "k": 14, "b": 1, "h": 1, "c": 1, "m": 1}, "1" + "0" * 14)],  # Queneau
    "type_token": [({"n": 100, "a": 30, "b": 10, "c": 5, "d": 5}, "0.5000")],
    "motif_census": [({"n": 10, "a": 5, "b": 4, "c": 3, "d": 2, "e": 1, "f": 1, "g": 1}, "1")],
    "yule": [({"v": (1, 1)}, "2222.222")],
    "record_linkage": [({"m": 10, "p": 10, "c": 5}, "1/2")],
    "delta": [({"a": F(3), "c": F(1), "b": F(1), "d": F(4), "s": F(2), "t": F(1)}, "2.000")],
    # History
    "weekday": [
        ({"d": 14, "m": "July", "y": 1789}, "Tuesday"),
        ({"d": 1, "m": "January", "y": 1900}, "Monday"),
    ],
    "interval": [({"d": 1, "m": "January", "y": 1600, "e": 1, "n": "January", "z": 2000}, "146097")],  # 400 years
    "population": [({"n": 1000, "r": F(10), "e": 10, "t": 2}, "1189.00")],  # 1000, 1090, 1189
    "laspeyres": [({"q": (1, 2, 1), "p": (10, 10, 10), "n": (20, 10, 10)}, "125.00")],
    "debasement": [({"n": 100, "g": F(100), "m": 200, "a": 900, "b": 500}, "0.6500 g")],
    "siege": [({"s": 1, "n": 100, "r": 100, "d": 10, "m": 100}, "55")],
    "exchange_bill": [({"a": 100, "b": 110, "m": 6}, "21.00")],
    # Biology
    "allele_share": [({"a": 1, "b": 2, "c": 1}, "1/2")],
    "reverse_complement": [({"s": "AACG"}, "CGTT")],
    "doubling": [({"n": 1000, "d": F(20), "t": 60}, "8.00")],
    "recapture": [({"m": 99, "c": 99, "r": 9}, "999.00")],
    "inhibition": [({"v": F(10), "k": F(1), "s": F(1), "i": F(1), "j": F(1)}, "3.333 µmol/min")],
    "projection": [({"j": 10, "a": 10, "f": F(2), "s": F(1, 2), "t": F(1, 2), "n": 2}, "35.00")],
    "map_distance": [({"p": 90, "r": 4, "q": 6}, "10.00 cM")],
    "drawn_recessive": [({"n": 4, "d": 2, "k": 2, "j": 1}, "2/3")],
    # Linguistics
    "edit_cost": [({"x": "kitten", "y": "sitting", "i": 1, "d": 1, "s": 1}, "3")],
    "syllables": [({"c": 2, "k": 1, "v": 3, "d": 1}, "24")],
    "paradigm": [({"a": 2, "b": 2, "g": 2, "s": 1, "n": 10, "i": 2}, "58")],
    "zipf": [({"f": 1000, "s": F(1), "r": 10}, "100.00")],
    "entropy": [({"f": (1, 1, 1, 1)}, "2.0000 bits")],
    "glottochronology": [({"c": F(64), "r": F(80)}, "1.000 millennia")],
    "collocation": [({"n": 1000, "x": 10, "y": 10, "p": 1}, "3.322")],
    "harmony": [({"a": 1, "b": 2, "c": 3, "n": 2}, "45")],
}


def named(family: Family) -> str:
    return family.name


def test_every_subject_has_at_least_six_families() -> None:
    assert {family.subject for family in families()} == set(SUBJECTS)
    for subject in SUBJECTS:
        assert len(families_of(subject)) >= 6
    assert len(families()) >= 48
    assert len(BY_NAME) == len(families())


def test_every_family_has_a_case_made_by_hand() -> None:
    assert set(CASES) == set(BY_NAME)


@pytest.mark.parametrize(
    ("name", "params", "expected"), [(name, p, e) for name, cases in CASES.items() for p, e in cases]
)
def test_solutions_are_right(name: str, params: dict[str, Any], expected: str) -> None:
    assert BY_NAME[name].solve(params) == expected


@pytest.mark.parametrize("family", families(), ids=named)
def test_a_question_is_read_back_and_solved_again_from_its_text(family: Family) -> None:
    for seed in range(50):
        question, params = family.make(random.Random(seed), TOPIC)
        assert family.parse(question) == params
        found = recognise(question)
        assert found is not None
        assert (found.family, found.params) == (family, params)
        assert truth(question) == family.solve(params)
        assert TOPIC in question
        assert fault_of(question, family.solve(params)) is None
        assert "\x00" not in question and "{" not in question


@pytest.mark.parametrize("family", families(), ids=named)
def test_surrounding_text_does_not_hide_a_question(family: Family) -> None:
    question, params = family.make(random.Random(7), TOPIC)
    assert truth(f"\n  {question}\n") == family.solve(params)
    assert truth(f"Please read: {question} Thank you (B) very much.") == family.solve(params)


@pytest.mark.parametrize("family", families(), ids=named)
def test_parameters_hardly_ever_repeat(family: Family) -> None:
    seen = {fingerprint(family.make(random.Random(seed), TOPIC)[0]) for seed in range(200)}
    assert len(seen) >= 196


@pytest.mark.parametrize("family", families(), ids=named)
def test_answers_are_fair(family: Family) -> None:
    """Not guessable as 0, 1 or 2 (nor 10, 21, …), and not already among the stated data."""
    for seed in range(30):
        params = family.draw(random.Random(seed))
        answer = family.solve(params).split(" ")[0]
        assert answer.strip("012")
        assert answer not in [word for text in family.shown(params).values() for word in text.split(", ")]


@pytest.mark.parametrize("family", families(), ids=named)
def test_leaving_any_one_quantity_out_makes_it_unsolvable(family: Family) -> None:
    for omit in family.params:
        params = family.draw(random.Random(3))
        question = family.question(params, TOPIC, random.Random(3), omit=omit)
        assert truth(question) is None
        assert fault_of(question, family.solve(params)) == "ambiguous"
        assert "\x00" not in question
        assert fingerprint(question) is None


@pytest.mark.parametrize("family", families(), ids=named)
def test_every_quantity_matters(family: Family) -> None:
    """A parameter that never changes the answer would make its omission harmless."""
    for name, param in family.params.items():
        rng = random.Random(1)
        answers = set()
        for _ in range(5):
            params = family.draw(rng)
            for _ in range(12):
                answers.add((family.solve(params), family.solve(params | {name: param.draw(rng)})))
        assert any(before != after for before, after in answers), name


@pytest.mark.parametrize("family", families(), ids=named)
def test_anchors_tell_families_apart(family: Family) -> None:
    for other in families():
        assert (family.anchor in f"{other.setup} {other.quantity}") == (other is family)


@pytest.mark.parametrize("family", families(), ids=named)
def test_a_claim_restates_the_answer(family: Family) -> None:
    params = family.draw(random.Random(0))
    assert family.claim(params).endswith(f"equals {family.solve(params)}")


def test_units_and_precision_are_asked_for() -> None:
    for family in families():
        question, params = family.make(random.Random(0), TOPIC)
        if family.unit:
            assert question.endswith(f"in {family.unit}.")
            assert family.solve(params).endswith(f" {family.unit}")
        if family.kind == "decimal":
            number = family.solve(params).split(" ")[0]
            assert len(number.partition(".")[2]) == family.places
            assert f" {family.places} decimal places" in question


def test_texts_that_are_not_ours() -> None:
    for text in ("", "What is the trace of the identity matrix?", "Prove that 1 + 1 = 2."):
        assert truth(text) is None
        assert fault_of(text, "2") is None
        assert fingerprint(text) is None


def test_a_fingerprint_ignores_topic_and_wording_but_not_the_data() -> None:
    family = BY_NAME["lens"]
    one = family.question({"f": 100, "u": 250}, "Optics", random.Random(1))
    two = family.question({"f": 100, "u": 250}, "Holography", random.Random(2))
    three = family.question({"f": 100, "u": 251}, "Optics", random.Random(1))
    assert one != two
    assert fingerprint(one) == fingerprint(two) != fingerprint(three)


def test_an_unknown_subject_gets_problems_of_all() -> None:
    assert families_of("Alchemy") == families()
    assert families_of("chemistry") == families_of("Chemistry")


@pytest.mark.parametrize(
    ("param", "value", "text"),
    [
        (Int(-5, 5), -3, "-3"),
        (Dec("0.001", "0.5", 3), F(1, 200), "0.005"),
        (Dec("-2.5", "2.5", 1), F(-5, 2), "-2.5"),
        (Pick(("July", "June")), "June", "June"),
        (Ints(3, 1, 9), (1, 2, 3), "1, 2, 3"),
        (Letters("ACGT", 3, 3), "GAT", "GAT"),
    ],
)
def test_parameters_are_written_and_read(param: Param, value: Any, text: str) -> None:
    assert param.show(value) == text
    assert param.read(text) == value


@given(st.integers(), st.sampled_from([Int(-99, 99, 3), Dec("0.05", "9.95", 2), Ints(4, 0, 9), Letters("AB", 1, 5)]))
def test_every_draw_survives_the_text(seed: int, param: Param) -> None:
    value = param.draw(random.Random(seed))
    assert param.read(param.show(value)) == value


# Independent computations, slower and simpler than the families' own.


@pytest.mark.parametrize("seed", range(5))
def test_knapsack_by_trying_every_choice(seed: int) -> None:
    p = BY_NAME["knapsack"].draw(random.Random(seed))
    choices = itertools.product((0, 1), repeat=len(p["w"]))
    fits = [c for c in choices if sum(w * x for w, x in zip(p["w"], c, strict=True)) <= p["c"]]
    best = max(sum(v * x for v, x in zip(p["v"], c, strict=True)) for c in fits)
    assert BY_NAME["knapsack"].solve(p) == str(best)


@pytest.mark.parametrize(("n", "k"), [(5, 2), (8, 3), (10, 4)])
def test_runs_by_listing_all_words(n: int, k: int) -> None:
    words = ("".join(bits) for bits in itertools.product("01", repeat=n))
    count = sum("1" * k not in word for word in words)
    assert BY_NAME["runs_free"].solve({"n": n, "k": k, "m": 10**6}) == str(count)


@pytest.mark.parametrize("exponents", [(6, 3, 2, 1, 1), (7, 2, 3, 2, 3), (5, 4, 2, 1, 4)])
def test_divisors_by_trial(exponents: tuple[int, ...]) -> None:
    a, b, c, d, e = exponents
    found = 0
    for i, j, k, m in itertools.product(range(a + 1), range(b + 1), range(c + 1), range(d + 1)):
        square = not any(x % 2 for x in (i, j, k, m))
        found += i >= e and not square
    assert BY_NAME["divisors"].solve(dict(zip("abcde", exponents, strict=True))) == str(found)


@pytest.mark.parametrize("seed", range(10))
def test_the_remainders_are_those_of_the_smallest_integer(seed: int) -> None:
    p = BY_NAME["remainders"].draw(random.Random(seed))
    n = int(BY_NAME["remainders"].solve(p))
    moduli = (int(p["i"]), int(p["j"]), int(p["k"]))
    assert 0 < n <= moduli[0] * moduli[1] * moduli[2]
    for modulus, wanted in zip(moduli, (p["a"], p["b"], p["c"]), strict=True):
        assert n % modulus == wanted % modulus


@pytest.mark.parametrize("seed", range(5))
def test_alignments_by_recursion(seed: int) -> None:
    p = BY_NAME["edit_cost"].draw(random.Random(seed))
    x, y = p["x"][:5], p["y"][:5]

    def cost(i: int, j: int) -> int:
        if i == len(x) or j == len(y):
            return (len(x) - i) * int(p["d"]) + (len(y) - j) * int(p["i"])
        swap = 0 if x[i] == y[j] else int(p["s"])
        return min(cost(i + 1, j) + int(p["d"]), cost(i, j + 1) + int(p["i"]), cost(i + 1, j + 1) + swap)

    assert BY_NAME["edit_cost"].solve(p | {"x": x, "y": y}) == str(cost(0, 0))


@pytest.mark.parametrize("seed", range(3))
def test_matrix_powers_by_multiplication(seed: int) -> None:
    p = BY_NAME["power_trace"].draw(random.Random(seed))
    one = ((p["a"], p["b"]), (p["c"], p["d"]))
    power = one
    for _ in range(p["n"] - 1):
        (a, b), (c, d) = power
        (e, f), (g, h) = one
        power = ((a * e + b * g, a * f + b * h), (c * e + d * g, c * f + d * h))
    assert BY_NAME["power_trace"].solve(p) == str(power[0][0] + power[1][1])


def test_all_verbs_are_used() -> None:
    family = BY_NAME["lens"]
    asked = {family.make(random.Random(seed), TOPIC)[0] for seed in range(80)}
    for verb in VERBS:
        assert any(f" {verb} the distance" in question for question in asked)
