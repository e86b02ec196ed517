"""The hosts of a run by profile name, each made when it is first needed; a rehearsal's loopback server plays them all.

Floor 4.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from chimera_batch import settings
from chimera_batch.errors import InputError
from chimera_batch.providers import make
from chimera_batch.providers.base import Profile, Provider

REHEARSAL_KEY = "rehearsal"  # a real key is never sent to the loopback server


@dataclass(frozen=True, slots=True)
class Playing:
    """A rehearsal, and where its server is; None while this command has none. ``again``: a command that has one."""

    url: str | None
    again: str


class Hosts:
    """Providers by profile name, each made when it is first needed."""

    def __init__(
        self, profiles: Mapping[str, Profile], state: Path, say: Callable[[str], None], playing: Playing | None
    ) -> None:
        """``state``: where engines that are started leave their records and logs. ``playing``: None for a paid run."""
        self._profiles = profiles
        self._state, self._say = state, say
        self._playing = playing
        self._made: dict[str, Provider] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str) -> Provider:
        """Raises InputError for one that the manifest does not name, or whose key is not set."""
        with self._lock:
            if name not in self._made:
                self._made[name] = self._make(name)
            return self._made[name]

    def close(self) -> None:
        for host in self._made.values():
            host.close()

    def _make(self, name: str) -> Provider:
        profile = self._profiles.get(name)
        if profile is None:  # of a batch that was sent under an earlier manifest
            raise InputError(f"the manifest no longer names the provider {name}: put it back")
        if self._playing is None:
            return make(profile, settings.api_key(profile), state=self._state, say=self._say)
        if self._playing.url is None:
            raise InputError("this command does not reach the rehearsal's server", hint=self._playing.again)
        played = replace(profile, base_url=rehearsal_base(profile, self._playing.url), engine=None)
        return make(played, REHEARSAL_KEY)  # no engine is started: its part is the server's too


def rehearsal_base(profile: Profile, url: str) -> str:
    """The loopback server's address for a profile: its name leads the path, so that its prices are known there."""
    suffix = "" if profile.dialect == "anthropic" else "/v1"  # the Anthropic SDK adds the version itself
    return f"{url.rstrip('/')}/{profile.name}{suffix}"
