"""What the environment says, and who we are among runners."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from chimera_batch import settings
from chimera_batch.errors import InputError
from chimera_batch.providers.base import Profile
from chimera_batch.providers.profiles import builtin

OPENAI = builtin()["openai"]
ANTHROPIC = builtin()["anthropic"]
OTHER = replace(OPENAI, name="other", base_url="https://other.example/v1/", api_key_env="OTHER_KEY")


@pytest.mark.parametrize("profile", [OPENAI, ANTHROPIC, OTHER])
def test_a_key_comes_from_the_variable_of_the_profile(profile: Profile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(profile.api_key_env, raising=False)
    with pytest.raises(InputError) as caught:
        settings.api_key(profile)
    assert profile.api_key_env in caught.value.message
    assert caught.value.hint == f"export {profile.api_key_env}=…"
    monkeypatch.setenv(profile.api_key_env, " sk-1234\n")
    assert settings.api_key(profile) == "sk-1234"


@pytest.mark.parametrize("key", ["", "   ", "sk 12", "sk-…", "a\nb", "a\x07"])
def test_unusable_keys(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER_KEY", key)
    with pytest.raises(InputError) as caught:
        settings.api_key(OTHER)
    assert not key.strip() or key not in str(caught.value)  # a key is never shown


@pytest.mark.parametrize(
    ("profile", "name", "value", "expected"),
    [
        (OPENAI, "OPENAI_BASE_URL", "http://127.0.0.1:9/v1/", "http://127.0.0.1:9/v1"),
        (ANTHROPIC, "ANTHROPIC_BASE_URL", "http://127.0.0.1:9", "http://127.0.0.1:9"),
        (OPENAI, "ANTHROPIC_BASE_URL", "http://127.0.0.1:9", OPENAI.base_url.rstrip("/")),
        (OTHER, "OPENAI_BASE_URL", "http://127.0.0.1:9", "https://other.example/v1"),
        (OPENAI, "OPENAI_BASE_URL", "", OPENAI.base_url.rstrip("/")),
    ],
)
def test_base_url(profile: Profile, name: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    assert settings.base_url(profile) == expected


def test_addresses_are_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.rehearsal_url() is None
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", "http://127.0.0.1:8000/")
    assert settings.rehearsal_url() == "http://127.0.0.1:8000"
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", "127.0.0.1:8000")
    with pytest.raises(InputError, match="CHIMERA_REHEARSAL_URL is not a web address"):
        settings.rehearsal_url()
    monkeypatch.setenv("OPENAI_BASE_URL", "ftp://x")
    with pytest.raises(InputError, match="OPENAI_BASE_URL"):
        settings.base_url(OPENAI)


def test_cache_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CHIMERA_CACHE", str(tmp_path))
    assert settings.cache_dir() == tmp_path
    monkeypatch.setenv("CHIMERA_CACHE", "~/x")
    assert settings.cache_dir() == Path.home() / "x"
    monkeypatch.delenv("CHIMERA_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert settings.cache_dir() == tmp_path / "xdg" / "chimera-batch"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert settings.cache_dir() == Path.home() / ".cache" / "chimera-batch"


def test_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.lease_seconds() == settings.LEASE_SECONDS
    assert settings.poll_seconds() == settings.POLL_SECONDS
    monkeypatch.setenv("CHIMERA_LEASE_SECONDS", "12.5")
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", "0.05")
    assert (settings.lease_seconds(), settings.poll_seconds()) == (12.5, 0.05)


@pytest.mark.parametrize("said", ["soon", "-3", "0", "0.0", "nan", "inf", "1e9", "1 2"])
def test_seconds_that_are_none(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIMERA_POLL_SECONDS", said)
    with pytest.raises(InputError, match="CHIMERA_POLL_SECONDS"):
        settings.poll_seconds()


def _edited(owner: str, place: int, value: str) -> str:
    fields = owner.split(":")
    fields[place] = value
    return ":".join(fields)


def test_we_are_alive_and_have_four_fields() -> None:
    me = settings.owner()
    assert len(me.split(":")) == 4
    assert me.split(":")[2] == str(os.getpid())
    assert settings.owner() == me
    assert settings.alive(me) is not False


@pytest.mark.parametrize(("place", "value"), [(0, "elsewhere"), (1, "another-boot"), (2, "x"), (2, "-1"), (2, "0")])
def test_another_machine_or_boot_cannot_be_known(place: int, value: str) -> None:
    assert settings.alive(_edited(settings.owner(), place, value)) is None


@pytest.mark.parametrize(
    "owner",
    ["", ":", "a:b:c", "a:b:c:d:e", pytest.param(settings.owner().rpartition(":")[0] + "x:", id="ours, cut")],
)
def test_odd_owners_are_unknown(owner: str) -> None:
    assert settings.alive(owner) is None


linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")


@linux
def test_a_later_process_with_our_pid_is_not_us() -> None:
    assert settings.alive(_edited(settings.owner(), 3, "1")) is False


def _child() -> subprocess.Popen[str]:
    code = "import time; from chimera_batch import settings; print(settings.owner(), flush=True); time.sleep(60)"
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)


@linux
def test_a_killed_process_is_dead_even_before_it_is_reaped() -> None:
    child = _child()
    assert child.stdout is not None
    try:
        owner = child.stdout.readline().strip()
        assert owner.split(":")[2] == str(child.pid)
        assert settings.alive(owner) is True
        child.send_signal(signal.SIGSTOP)
        assert settings.alive(owner) is True  # paused is not dead
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, not reaped: a zombie
        assert settings.alive(owner) is False
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert settings.alive(owner) is False


def test_without_proc_only_absence_is_certain(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    monkeypatch.setattr(settings, "boot", lambda: "-")
    monkeypatch.setattr(settings, "_start", lambda pid: None)
    me = settings.owner()
    assert me.endswith(f":-:{os.getpid()}:-")
    assert settings.alive(me) is None
    assert settings.alive(_edited(me, 2, str(gone.pid))) is False


def test_another_users_hidden_process_is_not_declared_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    me = settings.owner()

    def refuse(pid: int, signum: int) -> None:
        raise PermissionError

    monkeypatch.setattr(settings, "_start", lambda pid: None)
    monkeypatch.setattr(os, "kill", refuse)
    assert settings.alive(me) is None


def test_host_names_cannot_break_the_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "a:b c/ü")
    assert settings.owner().startswith("a-b-c--:")
    assert len(settings.owner().split(":")) == 4


def test_only_settings_reads_the_environment() -> None:
    package = Path(settings.__file__).parent
    readers = [
        path.name
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("os.environ", "getenv"))
    ]
    assert readers == ["settings.py"]


def test_what_steps_leave_is_their_owners(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under any umask, and also where an earlier version made the folder for all to enter."""
    monkeypatch.setenv("CHIMERA_CACHE", str(tmp_path / "a" / "cache"))
    before = os.umask(0)
    try:
        folder = settings.work_dir()
    finally:
        os.umask(before)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o755)
    assert settings.work_dir() == folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CHIMERA_CACHE", str(tmp_path / "file"))
    assert settings.work_dir() == tmp_path / "file" / "work", "whoever writes there says what is wrong"
