"""What this machine and its environment say: keys, addresses, folders, and who we are among runners.

The only reader of the environment. Floor 1.
"""

from __future__ import annotations

import os
import re
import secrets
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from chimera_batch.errors import InputError
from chimera_batch.providers.base import Profile

LEASE_SECONDS = 900.0
POLL_SECONDS = 20.0

_BASE_URLS = {
    "openai": "OPENAI_BASE_URL",
    "anthropic": "ANTHROPIC_BASE_URL",
    "bedrock": "AWS_ENDPOINT_URL_BEDROCK",
}
"""The SDKs' own variables; they speak of the vendors' own hosts, not of every host with that dialect."""


def api_key(profile: Profile) -> str:
    """The key of a host, from the variable that its profile names. Raises InputError with the line to type.

    An engine of one's own that names no variable needs none: then it is the empty text.
    """
    if not profile.api_key_env and (profile.local or profile.dialect == "bedrock"):
        return ""
    key = os.environ.get(profile.api_key_env, "").strip()
    if not key:
        raise InputError(f"{profile.name} needs a key and {profile.api_key_env} is not set", hint=_export(profile))
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{profile.api_key_env} holds characters that no key has", hint=_export(profile))
    return key


def named_key(name: str) -> str:
    """The key that a variable holds, for a server that no profile describes. Raises InputError."""
    if key := os.environ.get(name, "").strip():
        return key
    raise InputError(f"{name} is not set", hint=f"export {name}=…")


_SECRET = re.compile("KEY|TOKEN|SECRET|PASSW|CREDENTIAL|AUTH|WEBHOOK", re.IGNORECASE)
_PASSWORD = re.compile(r"://[^/?#\s]*@")  # of a user, or a token in the place of one


def without_secrets(keep: Collection[str] = ()) -> dict[str, str]:
    """The environment for a process of ours, without what speaks of a secret by its name or is an address with a
    password in it, but with what is to be kept.
    """
    told = os.environ.items()
    secret = {name for name, value in told if _SECRET.search(name) or _PASSWORD.search(value)}
    return {name: value for name, value in told if name in keep or name not in secret}


@contextmanager
def meanwhile(name: str, value: str) -> Iterator[None]:
    """A variable for what is imported in the block and reads it then; one that is set stays as it is."""
    if name in os.environ:
        yield
        return
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def _export(profile: Profile) -> str:
    return f"export {profile.api_key_env}=…"


def base_url(profile: Profile) -> str:
    """Where the host is: the SDKs' standard variable if it is set, else the profile's address; no trailing slash."""
    name = _BASE_URLS.get(profile.name)
    return ((name and _address(name)) or profile.base_url).rstrip("/")


def located(profile: Profile) -> Profile:
    """The profile with what the environment says of it: its address, and on AWS the region and the role.

    ``AWS_REGION`` and ``AWS_DEFAULT_REGION`` are the SDK's own variables; the role, which is no secret but an account's
    own, may stand in ``CHIMERA_BEDROCK_ROLE`` instead of the manifest.
    """
    if profile.dialect != "bedrock":
        return replace(profile, base_url=base_url(profile))
    said = (os.environ.get(name, "").strip() for name in ("AWS_REGION", "AWS_DEFAULT_REGION"))
    region = profile.region or next(filter(None, said), "")
    role = profile.role or os.environ.get("CHIMERA_BEDROCK_ROLE", "").strip()
    return replace(profile, base_url=base_url(profile).replace("{region}", region), region=region, role=role)


def on_aws() -> bool:
    """Whether this machine is AWS's own, so that it may have a role whose credentials only a call would show."""
    if any(name.startswith("AWS_CONTAINER_CREDENTIALS_") for name in os.environ):
        return True
    vendor = _quiet(lambda: Path("/sys/class/dmi/id/sys_vendor").read_text(encoding="utf-8", errors="replace"))
    return (vendor or "").startswith("Amazon") and os.environ.get("AWS_EC2_METADATA_DISABLED", "") != "true"


def rehearsal_url() -> str | None:
    """The address of a rehearsal server that runs already (``CHIMERA_REHEARSAL_URL``); None: start one."""
    return _address("CHIMERA_REHEARSAL_URL")


def webhook(name: str) -> str:
    """The address that a variable holds, of whom to tell how a run ends. Raises InputError, which does not show it."""
    url = os.environ.get(name, "").strip()
    if not re.match(r"https?://[^/\s]+", url):
        said = "is not set" if not url else "holds no web address"
        raise InputError(f"{name} {said}", hint=f"export {name}=https://…")
    return url


def reward_judge() -> tuple[str, str, str] | None:
    """Address, model and key of the judge that a reward function may ask; None: ``CHIMERA_JUDGE_URL`` is not set."""
    url = _address("CHIMERA_JUDGE_URL")
    if url is None:
        return None
    model = os.environ.get("CHIMERA_JUDGE_MODEL", "").strip()
    if not model:
        raise InputError("CHIMERA_JUDGE_URL is set, but no model to ask there", hint="export CHIMERA_JUDGE_MODEL=NAME")
    return url, model, os.environ.get("CHIMERA_JUDGE_KEY", "").strip() or "none"


def _address(name: str) -> str | None:
    url = os.environ.get(name, "").strip()
    if url and not re.match(r"https?://[^/\s]+", url):
        raise InputError(f"{name} is not a web address: {url!r}", hint=f"export {name}=http://127.0.0.1:8000")
    return url.rstrip("/") or None


def engine_python() -> str | None:
    """The interpreter that has vLLM installed (``CHIMERA_VLLM_PYTHON``); None: the one that runs us."""
    named = os.environ.get("CHIMERA_VLLM_PYTHON", "").strip()
    return str(Path(named).expanduser()) if named else None


def ray_address() -> str | None:
    """The cluster that Ray's own variable names (``RAY_ADDRESS``); None: a Ray of this machine alone."""
    return os.environ.get("RAY_ADDRESS", "").strip() or None


def cache_dir() -> Path:
    """Where copies of store objects may lie; everything in it may be deleted at any time."""
    return _folder("CHIMERA_CACHE", "XDG_CACHE_HOME", "~/.cache")


def work_dir() -> Path:
    """The cache's folder for what steps leave on this machine: made if need be, and its owner's alone.

    Answers lie in it for a while, so a folder of an earlier version that others may enter is shut. One that cannot be
    made is told of where something is written.
    """
    folder = cache_dir() / "work"
    with suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.stat().st_mode & 0o077:
            folder.chmod(0o700)
    return folder


def state_dir() -> Path:
    """Where this machine keeps what is paid for and not in a store yet: replies to synchronous calls under way."""
    return _folder("CHIMERA_STATE", "XDG_STATE_HOME", "~/.local/state")


def _folder(name: str, base: str, default: str) -> Path:
    """The folder that ``name`` says, else ours below ``base`` or the home folder. Raises InputError without any."""
    named = os.environ.get(name)
    try:
        return Path(named or os.environ.get(base) or default).expanduser() / ("" if named else "chimera-batch")
    except RuntimeError:  # pathlib's word for: no HOME, and the system does not know the user either
        raise InputError(
            "this user has no home folder, and HOME is not set",
            where=name,
            hint=f"export {name}=/var/lib/chimera-batch",
        ) from None


def dumb_terminal() -> bool:
    """Whether the terminal says that it can only print lines (``TERM=dumb``)."""
    return os.environ.get("TERM") == "dumb"


def lease_seconds() -> float:
    """How long a claim stands without being renewed (``CHIMERA_LEASE_SECONDS``)."""
    return _seconds("CHIMERA_LEASE_SECONDS", LEASE_SECONDS)


def poll_seconds() -> float:
    """How long to wait between two looks at a provider (``CHIMERA_POLL_SECONDS``)."""
    return _seconds("CHIMERA_POLL_SECONDS", POLL_SECONDS)


def _seconds(name: str, default: float) -> float:
    said = os.environ.get(name, "").strip()
    if not said:
        return default
    if not re.fullmatch(r"\d+(\.\d+)?", said) or float(said) <= 0:
        raise InputError(f"{name} is not a number of seconds: {said!r}", hint=f"export {name}={default:g}")
    return float(said)


def owner() -> str:
    """Who this process is, ``host:boot:pid:start``, never the same for two processes that can meet in one store.

    ``boot`` names the running kernel and the process namespace, since a container's pids mean nothing outside of it;
    ``start`` tells a process from a later one with its pid. Either is ``-`` where the system does not say.
    """
    return _owner_of(os.getpid())


def _owner_of(pid: int) -> str:
    return f"{_host()}:{boot()}:{pid}:{_start(pid) or '-'}"


_OPEN: set[str] = set()  # owners that this process uses now


@contextmanager
def identity() -> Iterator[str]:
    """An owner for one command of this process; two of them, in two threads of a notebook, are not one another."""
    name = f"{owner()}:{secrets.token_hex(4)}"
    _OPEN.add(name)
    try:
        yield name
    finally:
        _OPEN.discard(name)


def alive(owner: str) -> bool | None:
    """Whether the command behind an ``owner`` still runs; None when this machine cannot know."""
    host, kernel, pid, start, token = (owner.split(":") + [""] * 5)[:5]
    if token and owner.rpartition(":")[0] == _owner_of(os.getpid()):
        return owner in _OPEN
    if host != _host() or kernel != boot() or not re.fullmatch(r"[1-9]\d{0,9}", pid):
        return None
    now = _start(int(pid)) if start != "-" else None
    if now is None:  # no /proc, or hidden in it: a pid that is gone is gone, one that is there may be another's
        return None if _pid_exists(int(pid)) else False
    return now == start


def _pid_exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname()) or "-"


@cache
def boot() -> str:
    """The running kernel and the process namespace: process ids mean something inside of them only."""
    kernel = _quiet(lambda: Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip())
    space = _quiet(lambda: str(Path("/proc/self/ns/pid").readlink()))  # "pid:[4026531836]"
    return f"{kernel}.{re.sub(r'[^0-9]', '', space)}" if kernel and space else "-"


def _start(pid: int) -> str | None:
    """When a process started, in ticks since the boot; "ended" for a zombie; None if it is gone or not to be seen."""
    stat = _quiet(lambda: Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    fields = stat.rpartition(")")[2].split() if stat else []  # the name before it may hold blanks and brackets
    if len(fields) < 20:
        return None
    return "ended" if fields[0] in {"Z", "X"} else fields[19]


def _quiet(read: Callable[[], str]) -> str | None:
    try:
        return read()
    except (OSError, ValueError):
        return None
