"""Hosts of batch APIs. Adding one that speaks a known protocol is a table in profiles.toml, or in a manifest."""

from __future__ import annotations

from chimera_batch.errors import InputError
from chimera_batch.providers.base import Profile, Provider


def make(profile: Profile, api_key: str) -> Provider:
    """The adapter of a profile's dialect, its SDK imported only now. Raises InputError for an unknown dialect."""
    if profile.dialect == "openai":
        from chimera_batch.providers.openai import OpenAIProvider  # noqa: PLC0415 - the SDK takes half a second

        return OpenAIProvider(profile, api_key)
    if profile.dialect == "anthropic":
        from chimera_batch.providers.anthropic import AnthropicProvider  # noqa: PLC0415 - the SDK takes half a second

        return AnthropicProvider(profile, api_key)
    if profile.dialect == "bedrock":
        from chimera_batch.providers.bedrock import BedrockProvider  # noqa: PLC0415 - boto3 takes half a second

        return BedrockProvider(profile)
    raise InputError(
        f"provider {profile.name} has the unknown dialect {profile.dialect}", hint="openai, anthropic or bedrock"
    )


def missing_access(profile: Profile) -> InputError | None:
    """What a host needs beside an API key and this machine lacks; nobody is called to find out."""
    if profile.dialect != "bedrock":
        return None
    from chimera_batch.providers import bedrock_aws  # noqa: PLC0415 - boto3 takes half a second

    return bedrock_aws.missing(profile)


__all__ = ["Profile", "Provider", "make", "missing_access"]
