"""The built-in hosts, and what a manifest changes about them or adds. Needs no SDK."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, replace
from difflib import get_close_matches
from functools import cache
from importlib.resources import files
from typing import Any

from chimera_batch import plugins
from chimera_batch.errors import InputError
from chimera_batch.providers import engine_fields
from chimera_batch.providers.base import Engine, Profile

DIALECTS = ("openai", "anthropic", "bedrock")
_MUST_SAY = ("dialect", "base_url", "api_key_env")
_FIELDS = tuple(f.name for f in fields(Profile) if f.name != "name")
_TEXT = {"dialect", "base_url", "api_key_env", "purpose", "region"}
_LISTS = {"endpoints", "windows"}
_WHOLE = {"max_requests", "max_bytes", "max_line_bytes", "cache_from_tokens", "at_once", "min_requests"}
_WHOLE_OR_NONE = {"batches_per_hour", "enqueued_tokens"}
_FLAGS = {"keeps_metadata", "distinct_counts", "deletes_files", "flex", "asks"}

# A host nobody has described: the smallest limits and the fewest promises of the known ones of its dialect.
_CAUTIOUS: dict[str, dict[str, Any]] = {
    "openai": {"endpoints": ("/v1/chat/completions",), "distinct_counts": False, "max_bytes": 95_000_000},
    "anthropic": {"endpoints": ("/v1/messages",), "distinct_counts": True, "max_bytes": 32_000_000},
    "bedrock": {"endpoints": ("/v1/messages",), "distinct_counts": False, "max_bytes": 190_000_000},
}
_S3 = re.compile(r"s3://[a-z0-9][-.a-z0-9]{1,61}[a-z0-9](/[-!_*'().a-zA-Z0-9]+)*")  # as Bedrock takes it
_ROLE = re.compile(r"arn:aws(-[^:]+)?:iam::[0-9]{12}:role/.+")
_ANTHROPIC = re.compile(r"(^|[.:/])anthropic\.")
_OTHERS = re.compile(
    r"(^|[.:/])(ai21|amazon|cohere|deepseek|google|meta|minimax|mistral|moonshot|nvidia|openai|qwen)\."
)
_UNSAID: dict[str, Any] = {
    "windows": ("24h",),
    "max_requests": 50_000,
    "max_line_bytes": 10_000_000,
    "batches_per_hour": None,
    "enqueued_tokens": None,
    "keeps_metadata": False,
}


@cache
def _shipped() -> dict[str, Profile]:
    data = tomllib.loads(files("chimera_batch.providers").joinpath("profiles.toml").read_text(encoding="utf-8"))
    return {name: _build(name, table) for name, table in data.items()}


def builtin() -> dict[str, Profile]:
    """The hosts of profiles.toml by name."""
    return dict(_shipped())


def dialects() -> list[str]:
    """Every protocol that a profile may name: ours, then what installed packages speak."""
    return [*DIALECTS, *(name for name in plugins.names(plugins.PROVIDERS) if name not in DIALECTS)]


def with_overrides(base: Profile | None, name: str, fields: Mapping[str, Any]) -> Profile:
    """``base`` with the fields that a manifest gives it, or, without a base, a new host.

    A new host must say dialect, base_url and api_key_env; one with an engine only what the engine leaves open. Raises
    InputError naming the provider and the field.
    """
    if base is None and fields.get("dialect") == "bedrock":  # another region, another bucket: the same service
        base = _shipped()["bedrock"]
    if base is None:
        return _build(name, fields)
    return replace(base, name=name, **_checked(name, fields, base.engine))


def _build(name: str, said: Mapping[str, Any]) -> Profile:
    given = _checked(name, said, None)
    engine = given.get("engine")
    keyless = {"api_key_env": ""} if given.get("dialect") == "bedrock" else {}  # AWS has a chain of its own
    given = {**keyless, **(_of_engine(engine) if engine else {}), **given}
    missing = [field for field in _MUST_SAY if field not in given]
    if missing:
        attached = "engine: {kind: attached}, base_url: http://127.0.0.1:8000/v1"
        raise InputError(
            f"provider {name} is not built in and does not say {', '.join(missing)}",
            where=f"providers.{name}",
            hint=f"{name}: {{{attached if engine else 'dialect: openai, base_url: https://…/v1, api_key_env: …'}}}",
        )
    optional = {f.name: f.default for f in fields(Profile) if f.default is not MISSING}
    return Profile(name=name, **{**optional, **_UNSAID, **_cautious(given["dialect"]), **given})


def _cautious(dialect: str) -> dict[str, Any]:
    return _CAUTIOUS.get(dialect, _CAUTIOUS["openai"])  # a package's: bodies of chat completions unless it says more


def rehearsed(profile: Profile) -> Profile:
    """The profile as a rehearsal plays it: the loopback server speaks Bedrock's Messages in Anthropic's protocol, and a
    package's dialect in that of the bodies that it takes."""
    if profile.dialect in {"openai", "anthropic"}:
        return profile
    if profile.dialect != "bedrock" and "/v1/messages" not in profile.endpoints:
        return replace(profile, dialect="openai")
    played = _shipped()["anthropic"]
    named = ("dialect", "max_bytes", "max_line_bytes", "keeps_metadata", "distinct_counts", "deletes_files")
    return replace(profile, **{field: getattr(played, field) for field in named})


def refuses(profile: Profile, model: str) -> str | None:
    """Why a model cannot be asked through a profile's batches, as far as its name tells; None if it can.

    An inference profile of one's own has a name that tells nothing: it is taken for what the adapter speaks.
    """
    if profile.dialect != "bedrock" or _ANTHROPIC.search(model) or not _OTHERS.search(model):
        return None
    return (
        f"{profile.name} asks Anthropic's models (anthropic.claude-…, us.anthropic.claude-…, or an inference profile's"
        f" ARN), not {model}: each other family has a request format of its own"
    )


def _of_engine(engine: Engine) -> dict[str, Any]:
    """What an engine of one's own need not be told: it speaks OpenAI's dialect, wants no key and has no address."""
    windows = ("24h",) if engine.kind == "ray" else ("now",)
    said = {"dialect": "openai", "api_key_env": "", "windows": windows, "endpoints": ("/v1/chat/completions",)}
    return said if engine.kind == "attached" else {**said, "base_url": ""}


def _checked(name: str, said: Mapping[str, Any], engine: Engine | None) -> dict[str, Any]:
    """The fields as a Profile holds them; ``engine``: what the fields of an engine are laid over."""
    given = {field: _value(name, field, value) for field, value in said.items() if field != "engine"}
    if "engine" not in said:
        return given
    made = engine_fields.engine_of(name, said["engine"], engine)
    calls = {"at_once": 2 * made.max_num_seqs * made.data_parallel} if made.managed else {}  # a queue, never a long one
    return {**calls, **given, "engine": made}


def _value(name: str, field: str, value: Any) -> Any:
    where = f"providers.{name}.{field}"
    if field not in _FIELDS:
        near = get_close_matches(field, _FIELDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(_FIELDS)}"
        raise InputError(f"provider {name} has no field {field}", where=where, hint=hint)
    wanted = _wanted(field, value)
    if wanted:
        raise InputError(f"{field} of provider {name} must be {wanted}, not {value!r}", where=where)
    if field in _LISTS:
        return tuple(value)
    if field == "headers":
        return tuple(sorted(value.items()))
    return value


def _wanted(field: str, value: Any) -> str | None:
    """What the field should have been, when ``value`` is not that."""
    whole = isinstance(value, int) and not isinstance(value, bool) and value > 0
    checks: tuple[tuple[bool, bool, str], ...] = (
        (field in _TEXT, isinstance(value, str) and bool(value), "text"),
        (field == "dialect", field != "dialect" or _spoken(value), f"one of {', '.join(DIALECTS)}"),
        (field == "base_url", str(value).startswith(("http://", "https://")), "an http(s) address"),
        (field == "staging", _fits(_S3, value), "an address like s3://bucket/prefix"),
        (field == "role", _fits(_ROLE, value), "a role's ARN: arn:aws:iam::ACCOUNT:role/NAME"),
        (field in _LISTS, _texts(value) and bool(value), "a list of text"),
        (field in _WHOLE, whole, "a whole number above 0"),
        (field in _WHOLE_OR_NONE, whole or value is None, "a whole number above 0, or null"),
        (field in _FLAGS, isinstance(value, bool), "true or false"),
        (field == "headers", isinstance(value, Mapping) and _texts([*value, *value.values()]), "names with text"),
    )
    return next((wanted for applies, right, wanted in checks if applies and not right), None)


def _spoken(dialect: Any) -> bool:
    """Packages are only searched for what is not ours."""
    return dialect in DIALECTS or (isinstance(dialect, str) and dialect in dialects())


def _fits(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, str) for item in value)
