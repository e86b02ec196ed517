"""What is said when a budget stops a run: what is undone, what keeps it from going on, and the lines that do."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chimera_batch.history.undone import Undone
from chimera_batch.rules.admission import Limit, Room
from chimera_batch.rules.shortfall import Over, Shortfall, Terms, undone

NOW = 20_000 * 86400 + 19 * 3600.0  # 19:00 UTC
NAMES: dict[Limit, str] = {"run": "budget", "stage": "cap of stage one", "day": "cap of the day"}


def room(limit: Limit, cap: str, committed: str) -> Room:
    return Room(limit, NAMES[limit], Decimal(cap), Decimal(committed))


def short(*rooms: Room, usd: str = "20", least: str = "2", **more: object) -> Shortfall:
    left = [Undone("one", 100, Decimal(usd), Decimal(least))]
    return Shortfall(left, lambda _stage: list(rooms), **more)  # type: ignore[arg-type]


def terms(
    run: str | None = None, day: str | None = None, *, max_usd: str | None = None, max_day: str | None = None
) -> Terms:
    """What the manifest says, and what the command line does where that is less."""

    def money(text: str | None) -> Decimal | None:
        return None if text is None else Decimal(text)

    said: dict[Limit, Decimal | None] = {"run": money(run), "day": money(day)}
    typed = {"run": money(max_usd or run), "day": money(max_day or day)}
    return Terms("m.yaml", "chimera-batch run m.yaml", said, typed)  # type: ignore[arg-type]


def over(stage: str = "one", requests: int = 10, usd: str = "5", least: str | None = "1") -> Over:
    return Over(stage, requests, Decimal(usd), None if least is None else Decimal(least))


def test_shards_are_summed_by_stage() -> None:
    parts = [over(), over(requests=5, usd="2.5", least="0.5"), over("two"), over(least=None)]
    assert undone(parts) == [
        Undone("one", 25, Decimal("12.5"), Decimal("0.5")),
        Undone("two", 10, Decimal(5), Decimal(1)),
    ]


def test_the_row_of_the_document() -> None:
    [part] = undone([over(usd="1.23456789")])
    assert part.row == {"stage": "one", "requests": 10, "usd_ceiling": 1.234568}


def test_nothing_is_undone_of_nothing() -> None:
    assert undone([]) == []


def test_the_message_says_what_is_left_and_why() -> None:
    said = short(room("run", "10", "9"), not_begun=["two", "dataset"]).message()
    assert said == (
        "one: 100 requests not sent, up to $20.00; not begun: two, dataset; $1.00 is left of the budget of $10.00"
        " ($9.00 spent, reserved or suspected), and the smallest part that is worth a turnaround could take $2.00"
    )


def test_a_cap_that_was_lowered_afterwards_leaves_nothing() -> None:
    assert "$0.00 is left of the budget of $5.00" in short(room("run", "5", "9")).message()


def test_only_what_is_in_the_way_is_named() -> None:
    said = short(room("run", "10", "3"), room("stage", "4", "3"), room("day", "50", "3")).message()
    assert "cap of stage one of $4.00" in said and "budget of" not in said and "day" not in said


@pytest.mark.parametrize(
    ("now", "left"),
    [(NOW, "in 5 h"), (NOW + 4 * 3600, "in 60 min"), (NOW + 5 * 3600 - 30, "in 1 min"), (NOW + 5 * 3600, "in 24 h")],
)
def test_a_cap_of_the_day_says_when_it_is_free_again(now: float, left: str) -> None:
    why = short(room("day", "10", "9"))
    assert why.message().endswith("; the cap of the day is free again at 00:00 UTC")
    assert why.hint(terms(day="10"), now).splitlines()[0] == f"chimera-batch run m.yaml   # from 00:00 UTC on, {left}"


def test_a_day_that_is_too_small_for_anything_is_not_waited_for() -> None:
    why = short(room("day", "1", "0"))
    assert "free again" not in why.message() and "from 00:00" not in why.hint(terms(day="1"), NOW)


SOME, ALL = "lets some of it go on", "is enough for all that was counted here"
RUN = "chimera-batch run m.yaml"
HINTS: list[tuple[str, Shortfall, Terms, list[str]]] = [
    (
        "the manifest's budget",
        short(room("run", "10", "9")),
        terms("10"),
        [f"in m.yaml, `usd: 11.00` under `budget:` {SOME}; 29.00 {ALL}", RUN],
    ),
    (
        "an option, no budget in the manifest",
        short(room("run", "10", "9")),
        terms(max_usd="10"),
        [f"{RUN} --max-usd 11.00   # {SOME}", f"{RUN} --max-usd 29.00   # {ALL}"],
    ),
    (
        "an option below a budget that is enough",
        short(room("run", "10", "9")),
        terms("100", max_usd="10"),
        [f"{RUN} --max-usd 11.00   # {SOME}", f"{RUN} --max-usd 29.00   # {ALL}"],
    ),
    (
        "an option below a budget that is not enough for all",
        short(room("run", "10", "9")),
        terms("20", max_usd="10"),
        [f"in m.yaml, `usd: 29.00` under `budget:` {ALL}", f"{RUN} --max-usd 11.00   # {SOME}", f"{RUN}   # {ALL}"],
    ),
    (
        "the cap of the stage",
        short(room("run", "100", "9"), room("stage", "10", "9")),
        terms("100"),
        [f"in m.yaml, `budget_usd: 11.00` of stage `one` {SOME}; 29.00 {ALL}", RUN],
    ),
    (
        "the cap of the stage under an option: the option stays",
        short(room("run", "50", "9"), room("stage", "10", "9")),
        terms("100", max_usd="50"),
        [f"in m.yaml, `budget_usd: 11.00` of stage `one` {SOME}; 29.00 {ALL}", f"{RUN} --max-usd 50"],
    ),
    (
        "a day, typed: wait, or raise it",
        short(room("day", "10", "9")),
        terms(max_day="10"),
        [
            f"{RUN} --max-usd-per-day 10   # from 00:00 UTC on, in 5 h",
            f"{RUN} --max-usd-per-day 11.00   # {SOME}",
            f"{RUN} --max-usd-per-day 29.00   # {ALL}",
        ],
    ),
    (
        "a day of the manifest",
        short(room("day", "10", "9")),
        terms("400", "10"),
        [
            f"{RUN}   # from 00:00 UTC on, in 5 h",
            f"in m.yaml, `usd_per_day: 11.00` under `budget:` {SOME}; 29.00 {ALL}",
        ],
    ),
    (
        "a day and the budget: waiting is not enough",
        short(room("run", "10", "9"), room("day", "5", "4")),
        terms("10", max_day="5"),
        [
            f"in m.yaml, `usd: 11.00` under `budget:` {SOME}; 29.00 {ALL}",
            f"{RUN} --max-usd-per-day 6.00   # {SOME}",
            f"{RUN} --max-usd-per-day 24.00   # {ALL}",
        ],
    ),
    (
        "what is left goes all at once",
        short(room("run", "10", "9"), usd="2", least="2"),
        terms("10"),
        [f"in m.yaml, `usd: 11.00` under `budget:` {ALL}", RUN],
    ),
    ("somebody made room meanwhile", short(room("run", "100", "9")), terms("100"), [RUN]),
]


@pytest.mark.parametrize(("why", "said", "lines"), [row[1:] for row in HINTS], ids=[row[0] for row in HINTS])
def test_the_lines_that_go_on(why: Shortfall, said: Terms, lines: list[str]) -> None:
    assert why.hint(said, NOW).splitlines() == lines


def test_of_two_stages_the_one_that_needs_less_goes_on_first() -> None:
    left = [Undone("one", 100, Decimal(20), Decimal(5)), Undone("two", 3, Decimal(4), Decimal(1))]
    why = Shortfall(left, lambda stage: [room("run", "10", "9.5")] if stage == "two" else [])
    assert why.least(why.binding[0]) == Decimal("10.50")
    assert why.enough(why.binding[0]) == Decimal("33.50"), "the budget is for both"


@pytest.mark.parametrize(
    ("again", "said"),
    [
        (terms("10"), RUN),
        (terms(), RUN),
        (terms("10", max_usd="10"), RUN),
        (terms("10", max_usd="5"), f"{RUN} --max-usd 5"),
        (terms(max_usd="0.50", max_day="0.1"), f"{RUN} --max-usd 0.50 --max-usd-per-day 0.1"),
    ],
)
def test_a_cap_that_was_typed_is_not_forgotten_by_pasting(again: Terms, said: str) -> None:
    assert again.command() == said


USD = st.decimals("0.000001", "50", places=6)


@given(USD, USD, USD, USD)
def test_the_amounts_are_enough(cap: Decimal, committed: Decimal, least: Decimal, more: Decimal) -> None:
    """Under the amount that is named, what was to go on does; and it is no more than a cent above."""
    why = short(Room("run", "budget", cap, committed), usd=str(least + more), least=str(least))
    for found in why.binding:
        assert committed + least <= why.least(found) < committed + least + Decimal("0.01")
        assert committed + least + more <= why.enough(found) < committed + least + more + Decimal("0.01")
    assert bool(why.binding) == (committed + least > cap)


def test_what_fits_to_the_cent_is_not_in_the_way() -> None:
    """Admission lets it pass: a stop that named this cap would be a lie."""
    assert short(room("run", "10", "8")).binding == []
    assert short(room("run", "10", "8.000001")).binding != []


def test_tomorrow_is_enough_for_a_part_as_large_as_the_cap_of_the_day() -> None:
    for least, waits in (("2", True), ("2.000001", False)):
        day = room("day", "2", "1")
        assert short(day, least=least).comes_back(day) is waits


def test_a_cap_raised_to_the_manifests_own_is_no_option_any_more() -> None:
    typed = terms(run="10", max_usd="5")
    assert typed.command() == "chimera-batch run m.yaml --max-usd 5"
    assert typed.command({"run": Decimal(10)}) == "chimera-batch run m.yaml"
    assert typed.edit("run", "one", {Decimal(10): "is enough"}) is None
