"""What a person decides: cancel, retry, adopt, resend. Each is one fact; the next run acts on it."""

from __future__ import annotations

from chimera_batch.context import Context, realm_of, unnamed
from chimera_batch.errors import ChimeraError, InputError, ProviderRefused
from chimera_batch.history.facts import Attempt, Shard
from chimera_batch.steps import recovery


def find(ctx: Context, shard_id: str) -> tuple[Shard, Attempt]:
    """The open attempt of a shard of this run, or a stuck one that this run waits for. Raises InputError."""
    own = [pair for pair in ctx.facts.attempts(ctx.run) if pair[1].is_open]
    open_ones = {shard.id: (shard, attempt) for shard, attempt in (*ctx.stuck(), *own)}
    if shard_id not in open_ones:
        known = ", ".join(sorted(open_ones)) or "none"
        raise InputError(f"no attempt of shard {shard_id!r} is under way (open: {known})", hint=ctx.command("status"))
    return open_ones[shard_id]


def cancel(ctx: Context, shard_id: str | None) -> list[str]:
    """Ask the providers to stop batches of this run; what is finished by then is still collected, billed and kept.

    Without a shard the whole run halts: a runner that is at work elsewhere sends nothing more either. Every batch is
    asked to stop, whatever becomes of the others; then the first failure is raised. The next run asks again.
    """
    if shard_id is None:
        ctx.ledger.halt(ctx.run)
    chosen = [find(ctx, shard_id)] if shard_id is not None else [p for p in ctx.facts.attempts(ctx.run) if p[1].is_open]
    for shard, attempt in chosen:
        ctx.ledger.cancel(shard, attempt)
    done: list[str] = []
    failed: list[ChimeraError] = []
    for shard, attempt in chosen:
        if attempt.batch is None:
            continue
        try:
            _stop(ctx, shard, attempt.batch)
            done.append(f"{shard.id}: {attempt.batch}")
        except ChimeraError as error:  # a host that is down, or whose key is not set
            ctx.say(f"{shard.id}: {attempt.batch} was not asked to stop: {error}")
            failed.append(error)
    if failed:
        failed[0].hint = failed[0].hint or ctx.command("cancel", *(("--shard", shard_id) if shard_id else ()))
        raise failed[0]
    return done


def _stop(ctx: Context, shard: Shard, batch: str) -> None:
    """Ask a batch's host to stop it. Raises InputError where the manifest has another host of that name, or none."""
    profile = ctx.told.profiles.get(shard.provider)
    if profile is None or realm_of(profile, rehearse=ctx.rehearse) != shard.realm:
        raise InputError(unnamed(batch, shard.realm), where=str(ctx.told.path))
    try:
        ctx.host(shard).cancel(batch)
    except ProviderRefused as refused:  # it may be over by now
        ctx.say(f"{shard.id}: {refused}")


def retry(ctx: Context, stage: str | None) -> list[str]:
    """Forget what was given up: it is asked again by the next run, under the same rules.

    Raises InputError for a stage that is not there, or asks nobody.
    """
    asking = [one.name for one in ctx.project.stages if one.kind == "ask"]
    names = [ctx.project.stage(stage).name] if stage is not None else asking
    if stage is not None and stage not in asking:
        raise InputError(f"stage {stage} asks nobody, so nothing of it was given up", hint=ctx.command("status"))
    for name in names:
        ctx.ledger.retry(ctx.run, name)
    return names


def adopt(ctx: Context, shard_id: str, batch: str) -> None:
    """This batch is that attempt: read its results as such. They are checked against the nonce when they come."""
    shard, attempt = find(ctx, shard_id)
    if not batch.strip():
        raise InputError("a batch has an id: the one that the provider shows", hint=ctx.command("status"))
    if batch in ctx.facts.batch_ids(shard.realm) - {attempt.batch}:  # its own: look again for its results
        raise InputError(f"{batch} is recorded as another attempt already", hint=ctx.command("status"))
    if not recovery.adopt(ctx, shard, attempt, batch):
        raise InputError(f"attempt {attempt.number} of {shard_id} was settled meanwhile", hint=ctx.command("status"))


def resend(ctx: Context, shard_id: str) -> None:
    """No batch was created, or its results shall be ignored: the next run sends the shard again.

    What the first sending may have cost stays *suspected*, unless the provider tells what it was. A batch that is under
    way is given up only where it was cancelled long ago and does not end.
    """
    shard, attempt = find(ctx, shard_id)
    if attempt.stand == "submitted":
        _must_hang(ctx, shard, attempt)
        ctx.ledger.stuck(shard, attempt, f"{attempt.batch} was cancelled and does not end")
    if not recovery.write_off(ctx, shard, attempt, "a person said: resend"):
        raise InputError(f"attempt {attempt.number} of {shard_id} was settled meanwhile", hint=ctx.command("status"))


def _must_hang(ctx: Context, shard: Shard, attempt: Attempt) -> None:
    """Raises InputError for a batch that may still end by itself, or has ended."""
    assert attempt.batch is not None  # noqa: S101 - that is what submitted means
    remedy, hint = recovery.remedy(attempt, ctx.clock(), ctx.timing), ctx.command("status")
    if attempt.cancel_at is None:
        why = "which is under way: sending it again would be paid twice"
        hint = ctx.command("cancel", "--shard", shard.id)
    elif remedy == "wait":
        hours = f"{ctx.timing.overdue / 3600:.0f} hours after it was submitted"
        why = f"which was asked to stop: it can be sent again if it still has not, {hours}"
    elif remedy == "stopping":
        why = "which was asked to stop within the last hour: what it did by then will be collected"
    elif ctx.host(shard).state(attempt.batch).phase != "working":
        why, hint = "which has ended: what it did can be collected", ctx.command("advance")
    else:
        return
    raise InputError(f"{shard.id} is batch {attempt.batch}, {why}", hint=hint)
