"""Engines of one's own as data: what a manifest may say of them, and what follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import settings
from chimera_batch.context import realm_of
from chimera_batch.errors import InputError
from chimera_batch.pipeline.project import load
from chimera_batch.providers.base import Engine
from chimera_batch.providers.profiles import builtin, with_overrides

ATTACHED = {"engine": {"kind": "attached"}, "base_url": "http://10.0.0.7:8000/v1"}


def test_the_built_in_vllm_needs_no_key_and_no_address() -> None:
    vllm = builtin()["vllm"]
    assert vllm.engine == Engine("vllm") and vllm.local and vllm.only_now and vllm.engine.managed
    assert (vllm.dialect, vllm.base_url, vllm.windows) == ("openai", "", ("now",))
    assert settings.api_key(vllm) == "" and realm_of(vllm, rehearse=False) == "vllm@local"
    assert [vllm.lacks(window) for window in ("24h", "now", "flex")] == [None] * 3, "asked at once, whatever is said"


def test_an_engine_is_laid_over_the_built_in_one() -> None:
    flags = {"kv-cache-dtype": "fp8", "enforce-eager": True, "a": 1.5}
    said = {"engine": {"max_model_len": 40960, "quantization": "fp8", "flags": flags}}
    made = with_overrides(builtin()["vllm"], "vllm", said)
    kept = (("a", 1.5), ("enforce-eager", True), ("kv-cache-dtype", "fp8"))
    assert made.engine == Engine("vllm", max_model_len=40960, quantization="fp8", flags=kept)
    assert hash(made) == hash(replace(made)), "frozen throughout"


@pytest.mark.parametrize(
    ("said", "calls"),
    [
        ({}, 96),
        ({"engine": {"max_num_seqs": 10}}, 20),
        ({"engine": {"max_num_seqs": 10, "data_parallel": 4}}, 80),
        ({"engine": {"max_num_seqs": 10}, "at_once": 5}, 5),
        ({"at_once": 7}, 7),
    ],
)
def test_a_queue_is_kept_before_an_engine_that_we_start(said: dict[str, Any], calls: int) -> None:
    assert with_overrides(builtin()["vllm"], "vllm", said).at_once == calls


def test_somebody_elses_server_gets_few_calls_and_its_own_realm() -> None:
    mine = with_overrides(None, "mine", ATTACHED)
    assert mine.at_once == 8 and mine.local and not (mine.engine and mine.engine.managed)
    assert realm_of(mine, rehearse=False) == "mine@10.0.0.7", "its answers are the same when it is back on another port"


def test_an_attached_server_may_want_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = with_overrides(None, "mine", {**ATTACHED, "api_key_env": "MY_SERVER"})
    monkeypatch.delenv("MY_SERVER", raising=False)
    with pytest.raises(InputError, match="MY_SERVER is not set"):
        settings.api_key(mine)
    monkeypatch.setenv("MY_SERVER", "abc")
    assert settings.api_key(mine) == "abc"


def test_an_attached_server_must_have_an_address() -> None:
    with pytest.raises(InputError, match="does not say base_url") as caught:
        with_overrides(None, "mine", {"engine": {"kind": "attached"}})
    assert caught.value.hint and "kind: attached" in caught.value.hint


def test_ray_takes_batches() -> None:
    ray = with_overrides(None, "ray", {"engine": {"kind": "ray", "block": 16}})
    assert ray.local and not ray.only_now and ray.windows == ("24h",) and ray.lacks("24h") is None


WRONG: list[tuple[Any, str, str]] = [
    ({"kind": "sglang"}, ".kind", "must be one of vllm, llama, attached, ray"),
    ({"max_model_length": 5}, ".max_model_length", "has no field max_model_length"),
    ({"max_num_seqs": 0}, ".max_num_seqs", "a whole number above 0"),
    ({"stall_s": True}, ".stall_s", "a whole number above 0"),
    ({"restarts": -1}, ".restarts", "a whole number from 0"),
    ({"max_model_len": "40k"}, ".max_model_len", "above 0, or null"),
    ({"python": ""}, ".python", "must be text"),
    ({"flags": ["--enforce-eager"]}, ".flags", "names with plain values"),
    ({"flags": {"--enforce-eager": True}}, ".flags", "names with plain values"),
    ({"flags": {"x": None}}, ".flags", "names with plain values"),
    ({"flags": {"x": [1]}}, ".flags", "names with plain values"),
    *(
        ({"flags": {name: "x"}}, ".flags", "chosen by the run")
        for name in ("port", "host", "served_model_name", "api-key")
    ),
    ({"kind": "ray", "flags": {"model": "x"}}, ".flags", "model is chosen by the run"),
    ({"kind": "llama", "flags": {"tensor_split": 1}}, ".flags", "has no flag tensor-split"),
    ("vllm", "", "must be a mapping"),
]


@pytest.mark.parametrize(("engine", "field", "said"), WRONG)
def test_what_an_engine_may_not_say(engine: Any, field: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        with_overrides(builtin()["vllm"], "vllm", {"engine": engine})
    assert caught.value.where == f"providers.vllm.engine{field}"


def test_an_engine_without_a_kind() -> None:
    with pytest.raises(InputError, match="the engine of provider mine has no kind"):
        with_overrides(None, "mine", {"engine": {"python": "python3"}})


def test_a_slip_in_a_manifest_is_shown_on_its_line(tmp_path: Path) -> None:
    """The error says file and line of the very field, three levels down."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "sql").mkdir()
    (tmp_path / "prompts" / "p.md").write_text("Say {{ row.a }}")
    (tmp_path / "sql" / "r.sql").write_text("-- rows\nselect 'a' as row_key, 1 as a")
    manifest = tmp_path / "m.yaml"
    manifest.write_text(
        "run: m\nproviders:\n  vllm:\n    engine:\n      max_model_len: 2048\n      max_num_seq: 4\n"
        "models: {m: {provider: vllm, model: tiny}}\n"
        "stages: [{name: s, ask: m, prompt: p.md, rows: r.sql}]\n"
    )
    with pytest.raises(InputError, match="no field max_num_seq; did you mean max_num_seqs") as caught:
        load(manifest)
    assert caught.value.where == f"{manifest}:6"
