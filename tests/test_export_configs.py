"""The configurations beside an export hold the paper's numbers, whatever the number of GPUs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chimera_batch.exporting import training
from tests.conftest import ROOT

FILES = Path(training.__file__).with_name("training")


def config(name: str) -> dict[str, Any]:
    return dict(yaml.safe_load((FILES / name).read_text("utf-8")))


def test_sft_as_in_the_paper() -> None:
    told = config("sft/sft.yaml")
    assert told["per_device_train_batch_size"] * told["gradient_accumulation_steps"] == 256
    assert told["learning_rate"] == 1e-5


def test_rl_as_in_the_paper() -> None:
    told = config("rl/grpo.yaml")
    completions = told["per_device_train_batch_size"] * told["gradient_accumulation_steps"]
    assert completions == 256 * told["num_generations"] == 256 * 8
    assert (told["loss_type"], told["learning_rate"], told["num_train_epochs"]) == ("cispo", 1e-6, 1)


def test_verl_says_the_same() -> None:
    told, trl = config("rl/verl.yaml"), config("rl/grpo.yaml")
    actor, rollout = told["actor_rollout_ref"]["actor"], told["actor_rollout_ref"]["rollout"]
    assert actor["policy_loss"]["loss_mode"] == trl["loss_type"]
    assert actor["optim"]["lr"] == trl["learning_rate"]
    assert 1 + actor["clip_ratio_high"] == trl["epsilon_high"]
    assert told["data"]["train_batch_size"] == actor["ppo_mini_batch_size"] == 256
    assert rollout["n"] == trl["num_generations"]
    assert rollout["temperature"] == trl["temperature"]
    assert told["data"]["max_response_length"] == trl["max_completion_length"]
    assert told["trainer"]["total_epochs"] == trl["num_train_epochs"]
    begins_as = config("sft/sft.yaml")["output_dir"]
    assert told["actor_rollout_ref"]["model"]["path"] == trl["model_name_or_path"] == begins_as


def test_the_named_reward_functions_exist() -> None:
    from chimera_batch import rewards

    told = config("rl/verl.yaml")["reward"]["custom_reward_function"]
    assert told["path"] == f"pkg://{rewards.__name__}"
    assert callable(getattr(rewards, told["name"]))
    (name,) = config("rl/grpo.yaml")["reward_funcs"]
    assert callable(getattr(rewards, name.removeprefix("chimera_batch.rewards.")))


@pytest.mark.parametrize("kind", ["sft", "rl"])
@pytest.mark.parametrize("gpus", [None, 1, 8])
def test_the_batch_stays_the_same_on_any_number_of_gpus(kind: str, gpus: int | None, tmp_path: Path) -> None:
    stand_in = tmp_path / "accelerate"
    stand_in.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stand_in.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **({"GPUS": str(gpus)} if gpus else {})}
    done = subprocess.run(
        ["bash", FILES / kind / "train.sh", "--max_steps", "3"], capture_output=True, text=True, env=env, check=True
    )
    words = done.stdout.split()
    assert int(words[words.index("--gradient_accumulation_steps") + 1]) * (gpus or 1) == 256
    assert words[words.index("--num_processes") + 1] == str(gpus or 1)
    assert words[words.index("--dataset_name") + 1] == str(FILES / kind)
    assert words[-2:] == ["--max_steps", "3"]


@pytest.mark.parametrize(("solution", "said"), [("so \\boxed{1/2}", "1.0"), ("so \\boxed{3}", "0.0"), ("", "0.0")])
def test_the_reward_file_runs(solution: str, said: str) -> None:
    done = subprocess.run(
        [sys.executable, FILES / "rl" / "reward.py", solution, "0.5"],
        capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.stdout.strip() == said
