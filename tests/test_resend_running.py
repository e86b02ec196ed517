"""A person sends a shard again whose batch could not be read or does not end, and is at work all the same."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from chimera_batch import runner
from chimera_batch.context import Timing
from chimera_batch.errors import InputError, ProviderRefused
from chimera_batch.history.facts import Attempt
from chimera_batch.steps import recovery
from chimera_batch.verbs import deciding
from tests.support import Bench, answered, bench, write_project


def test_a_batch_that_is_given_up_while_it_works_is_cancelled(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    one.host.trouble["state"] = [ProviderRefused("not found", status=404)]
    one.go()
    shard, attempt = one.pairs[0]
    assert attempt.stand == "stuck"
    deciding.resend(one.ctx, shard.id)
    assert one.host.called("cancel") == ["batch-1"], "what it has not begun is saved"
    assert attempt.stand == "dropped"
    assert attempt.suspected == attempt.usd, "what it had begun is not known"


def cancelled(tmp_path: Path) -> Bench:
    """A batch that was cancelled and goes on."""
    one = bench(write_project(tmp_path))
    one.go()
    one.host.cancel = lambda batch: None  # type: ignore[method-assign]  # the provider takes note, and that is all
    deciding.cancel(one.ctx, one.pairs[0][0].id)
    return one


DAY, HOUR = 26 * 3600.0, 3600.0


@pytest.mark.parametrize(
    ("waited", "stopped", "remedy"),
    [
        (0.0, None, "wait"),
        (DAY, None, "wait"),
        (DAY, HOUR, "wait"),  # it was stopped long ago: it may still end by itself, as every batch may in a day
        (DAY + 1, None, "cancel"),
        (DAY + 1, 0.0, "stopping"),
        (DAY + 1, -5.0, "stopping"),  # by another machine, whose clock is ahead
        (DAY + 1, HOUR - 1, "stopping"),
        (DAY + 1, HOUR, "resend"),
    ],
)
@pytest.mark.parametrize("receipt", [True, False])
def test_what_helps_follows_from_how_long_it_works_and_since_when_it_should_stop(
    waited: float, stopped: float | None, remedy: str, receipt: bool
) -> None:
    """Seconds since it was submitted (claimed, where that is not known) and since it was asked to stop."""
    now, timing = 1e9, Timing(overdue=DAY, stopping=HOUR)
    attempt = Attempt(1, "tiny", "one", "0" * 8, "0" * 64, 3, 99, None, 9, Decimal(1), "me", now, now - waited)
    if receipt:
        attempt.at, attempt.submitted_at = attempt.at - 99, attempt.at
    attempt.cancel_at = None if stopped is None else now - stopped
    assert recovery.remedy(attempt, now, timing) == remedy


def test_a_batch_under_way_is_not_sent_again(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    with pytest.raises(InputError, match="paid twice") as caught:
        deciding.resend(one.ctx, one.pairs[0][0].id)
    assert "cancel" in (caught.value.hint or "")
    one = cancelled(tmp_path / "other")
    with pytest.raises(InputError, match=r"asked to stop: .* 26 hours after"):
        deciding.resend(one.ctx, one.pairs[0][0].id)
    assert one.pairs[0][1].stand == "submitted"


def test_a_batch_has_an_hour_to_stop(tmp_path: Path) -> None:
    """Providers take minutes for it, and what was finished by then is paid and comes."""
    one = bench(write_project(tmp_path))
    one.go()
    one.clock.now += 27 * 3600
    one.host.cancel = lambda batch: None  # type: ignore[method-assign]
    deciding.cancel(one.ctx, one.pairs[0][0].id)
    one.clock.now += 5
    with pytest.raises(InputError, match="within the last hour"):
        deciding.resend(one.ctx, one.pairs[0][0].id)
    one.go()
    assert not any("resend" in line for line in one.said)
    one.clock.now += 3600
    deciding.resend(one.ctx, one.pairs[0][0].id)
    assert one.pairs[0][1].stand == "dropped"


def test_a_cancelled_batch_that_never_ends_can_be_given_up(tmp_path: Path) -> None:
    """Or its reservation would stand in the way of every later request, and nothing could be typed."""
    one = cancelled(tmp_path)
    one.clock.now += 27 * 3600
    (shard, attempt) = one.pairs[0]
    deciding.resend(one.ctx, shard.id)
    assert (attempt.stand, attempt.written_off) == ("dropped", True)
    assert attempt.suspected == attempt.usd, "what it did is not known"
    assert one.ctx.facts.reserved("tiny") == 0
    runner.advance(one.ctx)
    assert one.pairs[1][1].stand == "submitted", "its requests are asked again"


def test_a_cancelled_batch_that_ended_after_all_is_not_thrown_away(tmp_path: Path) -> None:
    one = cancelled(tmp_path)
    one.clock.now += 27 * 3600
    one.host.answer("batch-1", lambda line: answered(line["custom_id"]))
    with pytest.raises(InputError, match="has ended") as caught:
        deciding.resend(one.ctx, one.pairs[0][0].id)
    assert "advance" in (caught.value.hint or "")
    assert one.pairs[0][1].stand == "submitted"


def test_a_batch_that_takes_too_long_is_told_with_the_line_to_type(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    one.clock.now += 27 * 3600
    one.go()
    assert any("after 27 hours: chimera-batch cancel " in line and "--shard" in line for line in one.said)
    one.host.cancel = lambda batch: None  # type: ignore[method-assign]
    deciding.cancel(one.ctx, one.pairs[0][0].id)
    one.clock.now += 3601
    one.go()
    assert any("after 28 hours: chimera-batch resend " in line for line in one.said)


def test_what_was_settled_meanwhile_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    one.host.trouble["state"] = [ProviderRefused("not found", status=404)]
    one.go()
    monkeypatch.setattr(one.ctx.ledger, "written_off", lambda *_: False)  # another command landed it
    with pytest.raises(InputError, match="settled meanwhile"):
        deciding.resend(one.ctx, one.pairs[0][0].id)
