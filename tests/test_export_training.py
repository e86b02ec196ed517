"""What an export is for: the real trainers load it with the configurations beside it and take a step on this machine.

CI's: it needs torch, TRL, transformers and datasets, which the extra ``train`` names.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from pathlib import Path
from typing import Any

import pytest

from tests.cli_kit import call
from tests.export_kit import HOSTILE, UNICODE, held_out, mixed, project, row, unsolved
from tests.train_kit import tiny_model

LACKS = [name for name in ("torch", "trl", "transformers", "datasets") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKS), reason=f"not installed: {', '.join(LACKS)}; pip install -e '.[train]'"),
    # TRL 1.16 reads a name that transformers 5.23 has renamed; nothing of ours
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
]

SMALL = ["--max_steps", "1", "--bf16", "False", "--use_cpu", "True", "--activation_checkpointing", "False"]
"""What a machine without a GPU needs said beside the configuration; two rounds of gradients instead of 256."""
ROUNDS = ["--gradient_accumulation_steps", "2", "--warmup_steps", "0", "--seed", "3"]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model(tmp_path_factory.mktemp("model"))


def exported(folder: Path, form: str, *options: str, rows: list[dict[str, Any]] | None = None) -> Path:
    done = call("export", project(folder, rows or mixed()), folder / form, "--format", form, *options)
    assert done.code == 0, done.err
    return folder / form


def loaded(folder: Path) -> Any:
    from datasets import load_dataset

    return load_dataset(str(folder))


def trained(kind: str, folder: Path, model: Path, options: list[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """One step with TRL's own script and the configuration of the export; returns the trainer afterwards."""
    import trl

    name = {"sft": "SFTTrainer", "grpo": "GRPOTrainer"}[kind]
    made: list[Any] = []
    real = getattr(trl, name)

    def kept(*words: Any, **how: Any) -> Any:
        made.append(real(*words, **how))
        return made[-1]

    monkeypatch.setattr(trl, name, kept)
    monkeypatch.chdir(folder)
    words = ["--config", f"{kind}.yaml", "--dataset_name", str(folder), "--model_name_or_path", str(model)]
    words += ["--output_dir", str(folder / "out"), *SMALL, *ROUNDS, *options]
    script = importlib.import_module(f"trl.scripts.{kind}")
    script.main(*script.make_parser().parse_args_and_config(words, fail_with_unknown_args=False))
    return made[0]


def moved(trainer: Any, model: Path) -> float:
    """How far the step has moved the weights, at most."""
    from transformers import AutoModelForCausalLM

    before = AutoModelForCausalLM.from_pretrained(model).state_dict()
    after = trainer.model.state_dict()
    return max(float((after[name].float() - before[name].float()).abs().max()) for name in before)


@pytest.mark.parametrize(
    ("options", "masked"),
    [([], False), (["--shape", "prompt-completion", "--thinking", "field"], True)],
    ids=["messages", "prompt-completion"],
)
def test_one_step_of_sft(
    options: list[str], masked: bool, tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = exported(tmp_path, "sft", *options)
    trainer = trained("sft", folder, model, ["--max_length", "512"], monkeypatch)
    said = trainer.state.log_history[0]
    assert math.isfinite(said["loss"]) and said["loss"] > 0 and said["grad_norm"] > 0
    assert trainer.args.learning_rate == 1e-5
    assert 0 < moved(trainer, model) < 1e-3
    first = trainer.train_dataset[0]
    text = trainer.processing_class.decode(first["input_ids"])
    assert "What is" in text and "<think>" in text and "boxed" in text
    learned = trainer.processing_class.decode([token for token in first["labels"] if token != -100])
    assert ("What is" not in learned) == masked
    assert learned.index("<think>") < learned.index("</think>") < learned.index("It is \\boxed{0}")


def test_one_step_of_grpo_with_cispo(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight rollouts of a model that boxes 7 or 8 at random where 7 is right: some are rewarded, and it learns."""
    rows = [unsolved(n, question=f"What is {n} - {n} + 7?", answer="7") for n in range(6)]
    folder = exported(tmp_path, "rl", rows=rows)
    options = ["--use_vllm", "False", "--max_completion_length", "128"]
    trainer = trained("grpo", folder, model, options, monkeypatch)
    assert (trainer.loss_type, trainer.num_generations, trainer.args.learning_rate) == ("cispo", 8, 1e-6)
    assert trainer.epsilon_high == 5.0
    said = trainer.state.log_history[0]
    assert 0 < said["rewards/solved/mean"] < 1
    assert said["reward_std"] > 0 and said["grad_norm"] > 0
    assert "cispo_clip_ratio" in said
    assert 0 < moved(trainer, model) < 1e-4


def test_datasets_reads_what_the_card_says(tmp_path: Path) -> None:
    rows = [row(0, question=HOSTILE, solution=UNICODE), row(1), unsolved(2), held_out(3)]
    data = loaded(exported(tmp_path, "hf", "--shard-mb", "1", rows=rows))
    assert {name: len(part) for name, part in data.items()} == {"train": 3, "held_out": 1}
    assert data["train"].column_names[:8] == [
        "index", "subject", "topic", "question", "answer", "original_solution", "solution", "correctness",
    ]  # fmt: skip
    assert data["train"][0]["question"] == HOSTILE
    assert data["train"][0]["solution"] == UNICODE
    assert data["train"][2]["correctness"] is False


def test_datasets_reads_conversations_and_problems(tmp_path: Path) -> None:
    talk = loaded(exported(tmp_path / "a", "sft"))
    assert {name: len(part) for name, part in talk.items()} == {"train": 6, "held_out": 6}
    assert [turn["role"] for turn in talk["train"][0]["messages"]] == ["user", "assistant"]
    problems = loaded(exported(tmp_path / "b", "rl", "--with-sft"))
    assert {name: len(part) for name, part in problems.items()} == {"train": 12, "held_out": 7}
    assert problems["train"][0]["reward_model"] == {"style": "rule", "ground_truth": "0"}


def test_a_split_without_rows_is_not_named(tmp_path: Path) -> None:
    assert list(loaded(exported(tmp_path, "sft", rows=[row(1)]))) == ["train"]


def test_a_new_export_is_not_read_as_the_old_one(tmp_path: Path) -> None:
    """``datasets`` remembers what it has read by the names of folder and configuration."""
    first = loaded(exported(tmp_path / "a", "sft", rows=[row(1)]))
    second = loaded(exported(tmp_path / "b", "sft", rows=[row(2)]))
    assert first["train"]["row_key"][:] == ["p0001/1"]
    assert second["train"]["row_key"][:] == ["p0002/1"]
