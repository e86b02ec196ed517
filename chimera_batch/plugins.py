"""Adapters that other packages bring: entry points of the groups below. Ours go first, always.

Packages are only searched for a name that is not built in, so an ordinary run pays nothing for this, and a package
cannot take the place of a built-in adapter: what tries to is named by ``doctor``. A plugin is code that somebody
installed: it runs with this process's rights. Floor 1.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from chimera_batch.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

PROVIDERS = "chimera_batch.providers"
"""Name: a dialect, as a manifest's ``providers:`` says it. Object: ``make(profile, api_key) -> Provider``."""
STORES = "chimera_batch.stores"
"""Name: the scheme of an address. Object: ``connect(url, *, cache) -> Store``."""


@dataclass(frozen=True, slots=True)
class Plugin:
    """One adapter that an installed package offers."""

    group: str
    name: str
    package: str  # with its version

    @property
    def what(self) -> str:
        return f"the {'provider' if self.group == PROVIDERS else 'store'} {self.name} of {self.package}"


def offered(group: str) -> list[Plugin]:
    """What the installed packages offer, by name; built-in names too, where a package tries to have one."""
    return sorted((_plugin(point) for point in _points(group)), key=lambda one: (one.name, one.package))


def names(group: str) -> list[str]:
    """Every name of a group once, in order."""
    return sorted({point.name for point in _points(group)})


def load(group: str, name: str) -> tuple[Plugin, Callable[..., Any]] | None:
    """The adapter of that name and whose it is; None where no package offers one.

    Raises InputError where two packages do, where it cannot be imported, and where it is nothing to call.
    """
    found = [point for point in _points(group) if point.name == name]
    if not found:
        return None
    plugin = _plugin(found[0])
    if len({point.value for point in found}) > 1:
        packages = " and ".join(sorted(_plugin(point).package for point in found))
        raise InputError(f"{packages} both offer a {group} {name}", hint=f"pip uninstall {_distribution(found[-1])}")
    try:
        adapter = found[0].load()
    except Exception as error:  # whatever a package raises while it is imported
        raise _broken(plugin, found[0], f"cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(adapter):
        raise _broken(plugin, found[0], f"is a {type(adapter).__name__} and nothing to call")
    return plugin, adapter


def made(plugin: Plugin, make: Callable[[], Any], promise: type) -> Any:
    """What an adapter's call returns, held against the Protocol that it must keep.

    Raises InputError where the call fails or the object lacks a member. Errors of ours go through as they are.
    """
    try:
        thing = make()
    except InputError:
        raise
    except Exception as error:  # whatever a package raises
        raise InputError(f"{plugin.what} cannot be made: {type(error).__name__}: {error}") from error
    lacks = [name for name in vars(promise) if not name.startswith("_") and not hasattr(type(thing), name)]
    if lacks:
        raise InputError(f"{plugin.what} lacks {', '.join(sorted(lacks))}", hint=f"pip install -U {_name(plugin)}")
    return thing


def overruled(group: str, built_in: Collection[str]) -> Iterator[Plugin]:
    """Plugins with the name of a built-in adapter, which are never used."""
    yield from (plugin for plugin in offered(group) if plugin.name in built_in)


def _points(group: str) -> list[EntryPoint]:
    from importlib.metadata import entry_points  # noqa: PLC0415 - a tenth of what `status` may take

    return list(entry_points(group=group))


def _plugin(point: EntryPoint) -> Plugin:
    version = f" {point.dist.version}" if point.dist else ""
    return Plugin(point.group, point.name, f"{_distribution(point)}{version}")


def _distribution(point: EntryPoint) -> str:
    return point.dist.name if point.dist else point.module


def _name(plugin: Plugin) -> str:
    return plugin.package.partition(" ")[0]


def _broken(plugin: Plugin, point: EntryPoint, why: str) -> InputError:
    return InputError(f"{plugin.what} ({point.value}) {why}", hint=f"pip install -U {_name(plugin)}")
