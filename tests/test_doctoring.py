"""``doctor``: finds what is broken, and never shows a key."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import rehearsal
from chimera_batch.cost import tokens
from chimera_batch.errors import InputError
from chimera_batch.opening import Options
from chimera_batch.providers import profiles
from chimera_batch.verbs import doctoring
from tests.cli_kit import call, project
from tests.conftest import ROOT
from tests.engine_kit import make_fake
from tests.test_routing import MODELS, PRICES, routed_manifest

SECRET = "sk-very-secret-0123456789"


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The rehearsal's server is a process; here only that it is started and stopped counts."""
    seen: list[Path] = []

    def start(state: Path) -> rehearsal.Running:
        seen.append(state)
        return rehearsal.Running("http://127.0.0.1:1", 1)

    monkeypatch.setattr(rehearsal, "start", start)
    return seen


def checks(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {check["name"]: check for check in document["checks"]}


def test_a_sound_machine(tmp_path: Path, no_server: list[Path]) -> None:
    document = doctoring.examine(None, Options())
    found = checks(document)
    assert document["ok"], found
    assert found["duckdb"]["detail"] == metadata.version("duckdb")
    assert found["python"]["state"] == found["tokenizer"]["state"] == found["cache"]["state"] == "ok"
    assert "exact" in found["tokenizer"]["detail"]
    assert found["key of openai"]["state"] == "missing"
    assert "store" not in found
    assert len(no_server) == 1
    assert not no_server[0].exists()


def test_every_known_host_is_listed() -> None:
    found = checks(doctoring.examine(None, Options()))
    named = {f"{'engine' if profile.local else 'key'} of {name}" for name, profile in profiles.builtin().items()}
    assert named <= set(found)


def test_an_engine_of_one_s_own_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHIMERA_VLLM_PYTHON", "/no/python")
    absent = checks(doctoring.examine(None, Options()))["engine of vllm"]
    assert absent["state"] == "missing" and "/no/python cannot be asked" in absent["detail"]
    monkeypatch.delenv("CHIMERA_VLLM_PYTHON")
    for _fake in make_fake(tmp_path / "fake", monkeypatch):
        found = checks(doctoring.examine(None, Options()))
        assert found["engine of vllm"]["state"] == "ok" and "vLLM 9.9, " in found["engine of vllm"]["detail"]
        assert found["engine of ollama"]["detail"] == "kind attached http://127.0.0.1:11434/v1"


def test_the_packages_are_those_of_pyproject() -> None:
    required = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert {re.split(r"[<>=\[]", line)[0] for line in required} == set(doctoring.PACKAGES)


def test_the_extras_are_those_of_pyproject_that_a_user_wants() -> None:
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    named = {extra: {re.split(r"[<>=\[]", line)[0] for line in lines} for extra, lines in offered.items()}
    ours, elsewhere = {"dev", "bench", "slow"}, {"train", "ray"}  # `elsewhere`: of a trainer, and of an engine's Python
    assert {extra: set(packages) for extra, (packages, _) in doctoring.EXTRAS.items()} == {
        extra: packages for extra, packages in named.items() if extra not in ours | elsewhere
    }


def test_an_extra_that_is_not_there_is_no_flaw(monkeypatch: pytest.MonkeyPatch, no_server: list[Path]) -> None:
    def none_of_them(name: str) -> str:
        if name not in doctoring.PACKAGES:
            raise metadata.PackageNotFoundError(name)
        return "1"

    monkeypatch.setattr(metadata, "version", none_of_them)
    document = doctoring.examine(None, Options())
    found = checks(document)["extra report"]
    assert document["ok"]
    assert (found["state"], found["hint"]) == ("missing", "pip install 'chimera-batch[report]'")
    assert "vl-convert-python" in found["detail"]


def test_a_key_is_named_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    for words in (["doctor"], ["doctor", "--json"]):
        done = call(*words)
        assert done.code == 0
        assert "OPENAI_API_KEY is set" in done.out
        assert SECRET not in done.out + done.err


def test_a_bad_key_is_not_shown_either(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{SECRET} and more")
    done = call("doctor", project(tmp_path), "--json")
    assert done.code == 2
    assert SECRET not in done.out


def test_a_manifest_s_keys_are_needed(tmp_path: Path) -> None:
    manifest = project(tmp_path)
    found = checks(doctoring.examine(manifest, Options()))
    assert [name for name in found if name.startswith("key of")] == ["key of openai"]
    assert found["key of openai"]["state"] == "broken"
    assert found["key of openai"]["hint"] == "export OPENAI_API_KEY=…"
    assert call("doctor", manifest).code == 2
    assert "export OPENAI_API_KEY=…" in call("doctor", manifest).out


def test_a_host_that_routing_passes_over_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``run`` goes on without it; of a list in one's own order every host must be ready."""
    monkeypatch.setenv("DEEPINFRA_TOKEN", "k")
    for route, state in (("cheapest", "missing"), ("first", "broken")):
        found = checks(doctoring.examine(routed_manifest(tmp_path, route), Options(prices=PRICES)))
        assert [found[f"key of {name}"]["state"] for name in ("openai", "deepinfra")] == [state, "ok"]


def test_routing_that_can_choose_nobody_needs_a_key(tmp_path: Path) -> None:
    document = doctoring.examine(routed_manifest(tmp_path, "cheapest"), Options(prices=PRICES))
    assert not document["ok"], "a run would stop for want of it"
    found = checks(document)
    assert [found[f"key of {name}"]["state"] for name in ("openai", "deepinfra")] == ["missing", "broken"]


@pytest.mark.parametrize(("hourly", "state"), [("0.01", "broken"), ("1000", "missing")])
def test_an_engine_that_routing_chooses_must_be_there(
    hourly: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Routing passes over what has no key, and not what is not installed: a run would stop there."""
    monkeypatch.setenv("CHIMERA_VLLM_PYTHON", "/no/python")
    monkeypatch.setenv("DEEPINFRA_TOKEN", "k")
    manifest = routed_manifest(tmp_path, models=MODELS.replace("openai", "vllm"))
    prices = (f"vllm/tiny-1={hourly}/h@24000,2400", PRICES[1])
    document = doctoring.examine(manifest, Options(prices=prices))
    assert checks(document)["engine of vllm"]["state"] == state
    assert document["ok"] == (state == "missing")


def test_a_rehearsal_needs_no_key(tmp_path: Path) -> None:
    document = doctoring.examine(project(tmp_path), Options(rehearse=True))
    assert document["ok"]
    assert checks(document)["key of openai"]["hint"] is None


def test_the_store_is_proven(tmp_path: Path) -> None:
    done = call("doctor", "--store", tmp_path / "runs", "--json")
    assert done.code == 0
    assert checks(done.document)["store"]["state"] == "ok"
    manifest = project(tmp_path)
    assert checks(doctoring.examine(manifest, Options(rehearse=True)))["store"]["detail"].startswith(str(tmp_path))


def test_a_store_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    done = call("doctor", "--store", tmp_path / "file" / "runs", "--json")
    assert done.code == 2
    assert not done.document["ok"]
    assert checks(done.document)["store"]["state"] == "broken"


def test_a_store_that_nobody_understands() -> None:
    store = checks(call("doctor", "--store", "ftp://x", "--json").document)["store"]
    assert store["state"] == "broken"
    assert "ftp://" in store["detail"]


def test_a_manifest_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such manifest"):
        doctoring.examine(tmp_path / "none.yaml", Options())
    assert call("doctor", tmp_path / "none.yaml", "--json").error["exit_code"] == 2


def broken(*_: Any, **__: Any) -> Any:
    raise RuntimeError("does not start\x1b[31m")


@pytest.mark.parametrize(
    ("module", "function", "name"), [(rehearsal, "start", "rehearsal server"), (tokens, "counter", "tokenizer")]
)
def test_what_fails_is_said_and_does_not_hide_the_rest(
    module: Any, function: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, function, broken)
    done = call("doctor")
    assert done.code == 2
    row = next(line for line in done.out.splitlines() if line.startswith(name))
    assert row.split("broken")[1].strip() == "RuntimeError: does not start"
    assert "something that is needed is broken" in done.out
    assert "cache" in done.out


def test_a_cache_that_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("CHIMERA_CACHE", str(tmp_path / "file" / "cache"))
    assert checks(doctoring.examine(None, Options()))["cache"]["state"] == "broken"


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    version = metadata.version

    def without(name: str) -> str:
        if name == "zstandard":
            raise metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(metadata, "version", without)
    document = doctoring.examine(None, Options())
    assert not document["ok"]
    assert checks(document)["zstandard"] == {
        "name": "zstandard",
        "state": "broken",
        "detail": "not installed",
        "hint": "pip install zstandard",
    }


def test_an_old_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctoring, "OLDEST_PYTHON", (99, 0))
    assert checks(doctoring.examine(None, Options()))["python"]["state"] == "broken"


def test_a_running_rehearsal_is_named(monkeypatch: pytest.MonkeyPatch, no_server: list[Path]) -> None:
    monkeypatch.setenv("CHIMERA_REHEARSAL_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in checks(doctoring.examine(None, Options()))["rehearsal server"]["detail"]
    assert no_server == []
