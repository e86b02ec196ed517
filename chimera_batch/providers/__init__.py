"""Hosts of batch APIs. Adding one that speaks a known protocol is a table in profiles.toml, or in a manifest; another
protocol may also be a package's (``plugins``)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

from chimera_batch import plugins
from chimera_batch.errors import InputError
from chimera_batch.providers.base import Engine, Profile, Provider
from chimera_batch.providers.profiles import dialects


def make(
    profile: Profile, api_key: str, *, state: Path | None = None, say: Callable[[str], None] = lambda _line: None
) -> Provider:
    """The adapter of a profile's engine or dialect, its SDK imported only now.

    ``state``: where an engine that is started leaves its record and its log; ``say`` takes lines for a person. Raises
    InputError for an unknown dialect, and for a package's adapter that does not work.
    """
    if profile.engine is not None and profile.only_now:
        return _local(profile, profile.engine, api_key, state or Path.cwd(), say)
    if profile.engine is not None:
        from chimera_batch.providers.ray import RayProvider  # noqa: PLC0415 - few runs have one

        return RayProvider(profile, say=say)
    if profile.dialect == "openai":
        from chimera_batch.providers.openai import OpenAIProvider  # noqa: PLC0415 - the SDK takes half a second

        return OpenAIProvider(profile, api_key)
    if profile.dialect == "anthropic":
        from chimera_batch.providers.anthropic import AnthropicProvider  # noqa: PLC0415 - the SDK takes half a second

        return AnthropicProvider(profile, api_key)
    if profile.dialect == "bedrock":
        from chimera_batch.providers.bedrock import BedrockProvider  # noqa: PLC0415 - boto3 takes half a second

        return BedrockProvider(profile)
    found = plugins.load(plugins.PROVIDERS, profile.dialect)
    if found is None:
        known = ", ".join(dialects())
        raise InputError(f"provider {profile.name} has the unknown dialect {profile.dialect}", hint=f"one of {known}")
    plugin, adapter = found
    return cast(Provider, plugins.made(plugin, lambda: adapter(profile, api_key), Provider))


def _local(profile: Profile, engine: Engine, api_key: str, state: Path, say: Callable[[str], None]) -> Provider:
    from chimera_batch.providers.local import LocalProvider  # noqa: PLC0415 - httpx2 takes a tenth of a second

    if not engine.managed:
        return LocalProvider(profile, api_key)
    from chimera_batch.engines import serve  # noqa: PLC0415 - only a run that asks it needs it

    return LocalProvider(profile, api_key, server=serve(engine, profile.name, state, say))


def missing_access(profile: Profile) -> InputError | None:
    """What a host needs beside an API key and this machine lacks; nobody is called to find out."""
    if profile.dialect != "bedrock":
        return None
    from chimera_batch.providers import bedrock_aws  # noqa: PLC0415 - boto3 takes half a second

    return bedrock_aws.missing(profile)


__all__ = ["Profile", "Provider", "make", "missing_access"]
