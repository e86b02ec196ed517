"""Events into facts. Pure: the same events always give the same facts."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from chimera_batch.errors import StoreConflict
from chimera_batch.history import sightings, undone
from chimera_batch.history.facts import Asked, Attempt, Ended, Facts, Quoted, Shard, Switched, Table, shard_name
from chimera_batch.history.sightings import Look
from chimera_batch.stores.keys import is_key

_KEYS = frozenset({"key", "members", "ids", "schema", "raw", "more"})
"""The fields of events that hold keys of objects, one or a list of them, or null."""


def apply(facts: Facts, event: dict[str, Any]) -> None:
    """Fold one event in. Unknown types are left alone: a later version may have written them.

    Raises StoreConflict for an event that does not fit the facts before it.
    """
    fold = _FOLDS.get(event["type"])
    if fold is None:
        return
    try:
        _check_keys(event)
        fold(facts, event)
    except (LookupError, TypeError, AttributeError, ArithmeticError, ValueError) as error:
        raise StoreConflict(
            f"event {event.get('n')} ({event['type']}) does not fit what came before it: {error!r}",
            hint="the journal was edited or copied in part; restore the store from its backup",
        ) from error


def _check_keys(event: Mapping[str, Any]) -> None:
    """What an event names is read from the store later: a key that is none, or leads out of it, is its flaw."""
    for name in _KEYS & event.keys():
        named = event[name]
        for key in named if isinstance(named, list | tuple) else [named]:
            if key is not None and not (isinstance(key, str) and is_key(key)):
                raise ValueError(f"{name}: not a store key: {key!r}")


def _attempt(facts: Facts, event: dict[str, Any]) -> Attempt:
    shard = facts.shards[shard_name(event["realm"], event["shard"])]
    number = int(event["attempt"])
    if number < 1:  # to Python that would be one from the end
        raise IndexError(f"there is no attempt {number}")
    return shard.attempts[number - 1]


def _run(facts: Facts, event: dict[str, Any]) -> None:
    facts.last_run = event["run"]
    facts.manifests[event["run"]] = event["manifest"]
    facts.halted.discard(event["run"])
    facts.out_of_money.pop(event["run"], None)


def _halted(facts: Facts, event: dict[str, Any]) -> None:
    facts.halted.add(event["run"])


def _out_of_money(facts: Facts, event: dict[str, Any]) -> None:
    facts.out_of_money[event["run"]] = undone.read(event)


def _told(facts: Facts, event: dict[str, Any]) -> None:
    facts.told[event["run"]] = event["mark"]


def _asked(facts: Facts, event: dict[str, Any]) -> None:
    rounds = facts.asked.setdefault((event["run"], event["stage"]), {})
    number = event["round"]
    fields = {name: event[name] for name in ("fingerprint", "key", "rows", "requests")}
    more, switches = tuple(event.get("more", ())), event.get("switches", 0)
    rounds[number] = Asked(number, **fields, rendering=event.get("rendering"), more=more, switches=switches)
    for later in [r for r in rounds if r > number]:  # asked from what this round now replaces
        del rounds[later]
    facts.ended.pop((event["run"], event["stage"]), None)


def _ended(facts: Facts, event: dict[str, Any]) -> None:
    mark = (event["run"], event["stage"])
    facts.ended[mark] = Ended(event["fingerprint"], event["rounds"], event["reason"])


def _switched(facts: Facts, event: dict[str, Any]) -> None:
    left = event["left"]["provider"], event["left"]["model"]
    switch = Switched(event["provider"], event["model"], event["reason"], event["at"], left)
    facts.switches.setdefault((event["run"], event["stage"]), []).append(switch)


def _packed(facts: Facts, event: dict[str, Any]) -> None:
    names = ("realm", "stage", "key", "members", "requests", "bytes", "provider", "model", "endpoint", "window")
    flags = ("ceiling", "schema", "cache", "canary")
    shard = Shard(id=event["shard"], **{name: event[name] for name in (*names, *flags)})
    facts.shards[shard_name(shard.realm, shard.id)] = shard
    facts.packs[shard.realm] = facts.packs.get(shard.realm, 0) + 1


def _claimed(facts: Facts, event: dict[str, Any]) -> None:
    names = (
        "run",
        "stage",
        "nonce",
        "sha256",
        "requests",
        "bytes",
        "ids",
        "input_tokens",
        "lease_until",
        "at",
    )
    attempt = Attempt(
        number=event["attempt"],
        usd=Decimal(event["usd"]),
        owner=event["by"],
        price=event.get("price"),
        cache=event.get("cache"),
        **{name: event[name] for name in names},
    )
    facts.shards[shard_name(event["realm"], event["shard"])].attempts.append(attempt)
    facts.out_of_money.pop(attempt.run, None)


def _taken(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.taken_from.append(attempt.owner)
    attempt.owner = event["by"]
    attempt.lease_until = event["lease_until"]
    attempt.doubted_at = event["at"]


def _renewed(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).lease_until = event["lease_until"]


def _uploaded(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.file, attempt.lease_until = event["file"], event.get("lease_until", attempt.lease_until)


def _doubted(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).doubted_at = event["at"]


def _disowned(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.disowned.add(event["batch"])
    attempt.stand, attempt.status, attempt.batch, attempt.submitted_at = "claimed", "claimed", None, None
    attempt.doubted_at = event["at"]


def _stray(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.strays.append(event["batch"])
    if attempt.blind:  # what was written off without knowing whether there was a batch: this is it
        attempt.blind = False
    else:
        attempt.suspected += attempt.usd


def _stray_over(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    if event["batch"] in attempt.strays and event["batch"] not in attempt.strays_over:
        attempt.strays_over.add(event["batch"])
        attempt.suspected += Decimal(event["suspected"]) - attempt.usd


def _submitted(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.stand, attempt.batch, attempt.submitted_at = "submitted", event["batch"], event["at"]
    attempt.adopted = event.get("adopted", False)
    attempt.status = "submitted"
    attempt.over, attempt.words, attempt.most, attempt.repeats = False, set(), 0, 0
    attempt.reason = None


def _seen(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    sightings.note(attempt, Look(event["status"], event["done"], event.get("over", False)), event["at"])


def _stuck(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.stand, attempt.reason, attempt.status = "stuck", event["reason"], "stuck"


def _landed(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.answers.append(event["key"])
    attempt.raw += event.get("raw", [])
    attempt.billed += Decimal(event["usd"])
    attempt.suspected += Decimal(event.get("suspected", 0))
    attempt.reported = event.get("reported")
    attempt.quarantined += event["quarantined"]
    for outcome, count in event["outcomes"].items():
        attempt.outcomes[outcome] = attempt.outcomes.get(outcome, 0) + count
    if event["final"]:
        attempt.stand, attempt.status, attempt.landed_at = "landed", event["status"], event["at"]
        attempt.done = attempt.requests


def _dropped(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.written_off = attempt.stand == "stuck" and attempt.batch is not None
    reserved = attempt.usd if attempt.written_off else Decimal(0)  # what the first versions left to be derived
    lost = Decimal(event.get("suspected", reserved))
    attempt.suspected, attempt.blind = attempt.suspected + lost, lost > 0 and attempt.batch is None
    attempt.reported = event.get("reported")
    attempt.stand, attempt.reason, attempt.status = "dropped", event["reason"], "dropped"
    attempt.queue_full_at = event["at"] if event.get("queue_full") else None
    if (wait := event.get("wait")) is not None:
        attempt.down = event["at"], event["at"] + wait


def _cleaned(facts: Facts, event: dict[str, Any]) -> None:
    _attempt(facts, event).cleaned = True


def _cancel(facts: Facts, event: dict[str, Any]) -> None:
    attempt = _attempt(facts, event)
    attempt.cancel_at, attempt.cancel_reason = event["at"], event.get("reason")


def _table(facts: Facts, event: dict[str, Any]) -> None:
    names = ("fingerprint", "key", "sha256", "rows", "standing", "outcomes")
    fields = {name: event[name] for name in names}
    facts.made_at[(event["run"], event["stage"])] = event["at"]
    facts.tables[(event["run"], event["stage"])] = Table(**fields, making=event.get("making"))


def _quoted(facts: Facts, event: dict[str, Any]) -> None:
    for entry in event["stages"]:
        usd = {name: Decimal(entry["usd"][name]) for name in ("low", "likely", "high", "ceiling")}
        quote = Quoted(
            at=event["at"],
            fingerprint=event["fingerprint"],
            requests=entry["requests"],
            basis=entry["basis"],
            spent=Decimal(entry["spent"]),
            **usd,
        )
        facts.quotes.setdefault((event["run"], entry["stage"]), []).append(quote)


def _retry(facts: Facts, event: dict[str, Any]) -> None:
    mark = (event["run"], event["stage"])
    facts.retries[mark] = facts.retries.get(mark, 0) + 1
    facts.out_of_money.pop(event["run"], None)
    for _, attempt in facts.attempts():
        if not attempt.is_open:
            attempt.forgiven.add(mark)


_FOLDS = {
    "run": _run,
    "halted": _halted,
    "out_of_money": _out_of_money,
    "told": _told,
    "asked": _asked,
    "ended": _ended,
    "switched": _switched,
    "packed": _packed,
    "claimed": _claimed,
    "taken": _taken,
    "renewed": _renewed,
    "uploaded": _uploaded,
    "doubted": _doubted,
    "disowned": _disowned,
    "stray": _stray,
    "stray_over": _stray_over,
    "submitted": _submitted,
    "seen": _seen,
    "stuck": _stuck,
    "landed": _landed,
    "dropped": _dropped,
    "cleaned": _cleaned,
    "cancel": _cancel,
    "table": _table,
    "quoted": _quoted,
    "retry": _retry,
}
EVENT_TYPES = frozenset(_FOLDS)
