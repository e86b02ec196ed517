"""The Ray provider with its real driver over a fake Ray: jobs made once, carried on, given up, ended, removed."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from chimera_batch import settings
from chimera_batch.context import realm_of
from chimera_batch.engines import kernel, ray_driver, ray_job, ray_state, record
from chimera_batch.errors import EngineFailed, ProviderRefused
from chimera_batch.providers import make
from tests import ray_kit
from tests.engine_kit import eventually
from tests.ray_kit import Jobs, custom_id, intent_of, lines, over, texts

WORDS = [f"word {number}" for number in range(10)]
ANSWERS = {custom_id(number): word[::-1] for number, word in enumerate(WORDS)}


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    yield from ray_kit.jobs(tmp_path)


def pid_of(jobs: Jobs, job: str) -> int:
    found = record.load(jobs.folder / job)
    assert found is not None
    return found.pid


def drivers(jobs: Jobs, job: str) -> int:
    return len(ray_state.numbers(jobs.folder / job))


# -- the ordinary way


def test_a_job_from_upload_to_discard(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider()
    job = jobs.send(provider, WORDS)
    state = over(provider, job)
    assert (state.status, state.phase, state.done, state.total) == ("completed", "ended", 10, 10)
    assert state.nonce == ray_kit.NONCE and state.created_at == ray_kit.NOW
    found = lines(provider, state, tmp_path / "down")
    assert texts(found) == ANSWERS
    reply = provider.decode(json.dumps(found[0]).encode())
    assert (reply.outcome, reply.finish, reply.machine_ns) == ("ok", "stop", pytest.approx(reply.machine_ns))
    assert found[0]["engine"]["engine"].startswith("vllm on ray") and "max_num_seqs=48" in found[0]["engine"]["flags"]
    provider.discard([job, *state.files])
    assert {path.name for path in (jobs.folder / job).iterdir()} == {"job.json", "end.json", "progress.json"}
    gone = provider.state(job)
    assert (gone.phase, gone.status, gone.files) == ("ended", "completed", ())
    provider.discard([job])
    assert provider.find_uploads(intent_of(10)) == []


def test_the_last_note_of_progress_is_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that is written now and then may be slow: it must not come to lie over that of a block."""
    real, begun, second = ray_job.put, threading.Event(), threading.Event()

    def slow(path: Path, document: Mapping[str, Any]) -> None:
        if begun.is_set():
            real(path, document)
            second.set()
            return
        begun.set()
        second.wait(0.3)  # it does not come, since this note is not written yet
        real(path, document)

    monkeypatch.setattr(ray_job, "put", slow)
    results = ray_job.Results(tmp_path, 1, 0, 0)
    noting = threading.Thread(target=results.note)
    noting.start()
    assert begun.wait(60)
    results.add([{"response": {"body": {}}}], {})
    noting.join()
    results.close()
    assert ray_job.read(tmp_path / "progress.json")["done"] == 1


def test_the_shares_of_the_machines_time_add_up_to_what_the_job_took(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(flags={"pause": 0.05})
    began = time.monotonic()
    found = lines(provider, over(provider, jobs.send(provider, WORDS)), tmp_path / "down")
    took = sum(Decimal(line["engine"]["seconds"]) for line in found)
    assert Decimal("0.15") <= took <= Decimal(time.monotonic() - began)
    assert all(Decimal(line["engine"]["seconds"]) > 0 for line in found)


def test_a_row_that_fails_does_not_stop_the_others(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(max_model_len=60)
    job = jobs.send(provider, ["fine", "FAIL", "long" * 20, "also fine"])
    found = lines(provider, over(provider, job), tmp_path / "down")
    said = {line["custom_id"]: provider.decode(json.dumps(line).encode()) for line in found}
    assert [said[custom_id(number)].outcome for number in range(4)] == ["ok", "error", "error", "ok"]
    refused, long = said[custom_id(1)], said[custom_id(2)]
    assert refused.message == "The decoder prompt is longer than the context" and not refused.transient
    assert "80 tokens of prompt and 20 of output are more than max_model_len=60" in str(long.message)


def test_a_field_that_cannot_be_asked_is_refused_and_not_left_out(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider()
    found = lines(provider, over(provider, jobs.send(provider, ["a"], logit_bias={"1": 5})), tmp_path / "down")
    assert 'logit_bias={"1": 5} cannot be asked through Ray' in found[0]["response"]["body"]["error"]["message"]


def test_an_answer_that_reaches_its_ceiling_is_cut(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider()
    found = lines(provider, over(provider, jobs.send(provider, ["abcdef"], max_tokens=3)), tmp_path / "down")
    reply = provider.decode(json.dumps(found[0]).encode())
    assert (reply.text, reply.finish, reply.outcome) == ("fed", "length", "truncated")


# -- created once


def test_create_done_again_is_the_same_job(jobs: Jobs) -> None:
    provider, intent, path = jobs.provider(flags={"pause": 0.1}), intent_of(10), jobs.wire(WORDS)
    file = provider.upload(intent, path)
    assert provider.find(intent) == [] and provider.find_uploads(intent) == [file]
    first = provider.create(intent, path, file)
    assert provider.create(intent, path, file) == first
    assert [found.id for found in provider.find(intent)] == [first]
    assert drivers(jobs, first) == 1
    assert provider.find(intent_of(10, nonce="11111111")) == []


def test_two_runners_start_one_driver(jobs: Jobs) -> None:
    """The second finds the number taken; and a driver that comes to a job that another one has leaves at once."""
    provider = jobs.provider(flags={"hang_after": 0})
    job = jobs.send(provider, WORDS)
    folder = jobs.folder / job
    eventually((folder / "part-1.jsonl").exists)
    (folder / "driver-2.log").touch()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_state, "numbers", lambda _folder: [1])
        assert not ray_driver.start(folder, provider._engine, "tiny")
    held = record.load(folder)
    (folder / "driver-2.log").unlink()
    assert ray_driver.start(folder, provider._engine, "tiny")
    second = pid_of(jobs, job)
    eventually(lambda: kernel.look(second) is None)
    assert held is not None and kernel.look(held.pid) is not None
    assert not (folder / "part-2.jsonl").exists()
    record.save(folder, held)  # so that it is ended


def test_without_its_file_nothing_is_created(jobs: Jobs) -> None:
    provider, intent, path = jobs.provider(), intent_of(10), jobs.wire(WORDS)
    file = provider.upload(intent, path)
    assert file is not None
    provider.discard([file])
    with pytest.raises(ProviderRefused, match="cannot find file"):
        provider.create(intent, path, file)
    assert not (jobs.folder / file).exists()
    with pytest.raises(ProviderRefused, match="there is no job") as caught:
        provider.state(file)
    assert caught.value.status == 404


def test_a_job_without_a_driver_is_begun_by_whoever_looks(jobs: Jobs) -> None:
    """Killed between making the job and starting its driver."""
    provider = jobs.provider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider, "_bring_on", lambda _folder: None)
        job = jobs.send(provider, WORDS)
    assert drivers(jobs, job) == 0
    (found,) = jobs.provider().find(intent_of(10))
    assert found.id == job and drivers(jobs, job) == 1


def test_a_driver_that_was_never_started_is_no_child_of_ours(jobs: Jobs) -> None:
    """Killed between the record and the process; another child of this process has ended meanwhile."""
    provider = jobs.provider()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray_driver, "_spawn", lambda *_: 0)
        job = jobs.send(provider, WORDS)
    assert pid_of(jobs, job) == 0
    with subprocess.Popen([sys.executable, "-c", "raise SystemExit(7)"], process_group=os.getpgrp()) as other:
        eventually(lambda: kernel.look(other.pid) is None)
        assert ray_driver.alive(jobs.folder / job) is False
        assert other.wait() == 7
    assert over(provider, job).status == "completed"


def test_what_is_no_chat_is_refused(jobs: Jobs) -> None:
    provider, path = jobs.provider(), jobs.wire(WORDS)
    intent = intent_of(10, endpoint="/v1/embeddings")
    with pytest.raises(ProviderRefused, match="takes chats"):
        provider.create(intent, path, provider.upload(intent, path))
    with pytest.raises(ProviderRefused, match="no single calls"):
        provider.ask(ray_kit.line(1, "a"))


# -- drivers that die


def test_a_killed_driver_is_followed_by_one_that_asks_only_what_is_missing(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(flags={"hang_after": 1})
    job = jobs.send(provider, WORDS)
    part = jobs.folder / job / "part-1.jsonl"
    eventually(lambda: part.exists() and part.stat().st_size)
    os.kill(pid_of(jobs, job), signal.SIGKILL)
    with part.open("ab") as file:
        file.write(b'{"custom_id": "' + custom_id(0).encode())  # what it was writing
    state = over(jobs.provider(flags={"hang_after": 1}), job)
    assert (state.status, state.done) == ("completed", 10)
    first, second = (path.read_bytes().count(b"\n") for path in ray_state.parts(jobs.folder / job))
    assert (first, second) == (2, 8)  # the last block is the first one done
    assert texts(lines(provider, state, tmp_path / "down")) == ANSWERS


def test_the_time_of_a_killed_driver_is_not_lost(jobs: Jobs, tmp_path: Path) -> None:
    """What it worked for since its last durable line is in its own note, and goes to the next one's first block."""
    provider = jobs.provider(flags={"hang_after": 1})
    job = jobs.send(provider, WORDS)
    note = jobs.folder / job / "progress.json"
    eventually(lambda: note.exists() and json.loads(note.read_text())["done"] == 2)
    os.kill(pid_of(jobs, job), signal.SIGKILL)
    note.write_text(json.dumps({"done": 2, "owed": 7 * 10**9, "driver": 1}))
    found = lines(provider, over(provider, job), tmp_path / "down")
    assert 7 <= sum(Decimal(line["engine"]["seconds"]) for line in found) < 30


def test_a_driver_that_goes_on_dying_without_an_answer_is_given_up(jobs: Jobs) -> None:
    provider = jobs.provider(flags={"die_after": 0, "bad_drivers": 9}, restarts=1)
    job = jobs.send(provider, WORDS)
    state = over(provider, job)
    assert (state.phase, state.status, state.files, drivers(jobs, job)) == ("rejected", "failed", (), 2)
    (problem,) = state.problems
    assert problem.code == "crash" and "driver-2.log" in problem.message
    assert over(provider, job) == state


def test_one_that_gets_further_each_time_goes_on(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(flags={"die_after": 1, "bad_drivers": 2}, restarts=0)
    job = jobs.send(provider, WORDS)
    state = over(provider, job)
    assert (state.status, drivers(jobs, job)) == ("completed", 3)
    assert texts(lines(provider, state, tmp_path / "down")) == ANSWERS


def test_given_up_with_some_answers_the_rest_counts_as_expired(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(flags={"die_after": 1, "bad_drivers": 1}, restarts=0)
    job = jobs.send(provider, WORDS)
    part = jobs.folder / job / "part-1.jsonl"
    eventually(lambda: part.exists() and part.stat().st_size and kernel.look(pid_of(jobs, job)) is None)
    worse = jobs.provider(flags={"die_after": 0, "bad_drivers": 9}, restarts=0)
    told = json.loads((jobs.folder / job / "job.json").read_text())
    told["engine_kwargs"] |= {"die_after": 0, "bad_drivers": 9}
    (jobs.folder / job / "job.json").write_text(json.dumps(told))
    state = over(worse, job)
    assert (state.phase, state.status, state.problems) == ("ended", "expired", ())
    assert len(lines(worse, state, tmp_path / "down")) == 2


@pytest.mark.parametrize(
    ("says", "why"),
    [
        ("No CUDA GPUs are available", "no_gpu"),
        ("No GPU: Ray sees none, and this vLLM is no CPU build", "no_gpu"),
        ("CUDA out of memory. Tried to allocate 20 GiB", "out_of_memory"),
    ],
)
def test_what_no_restart_mends_is_not_tried_again(jobs: Jobs, says: str, why: str) -> None:
    provider = jobs.provider(flags={"raise_after": 0, "bad_drivers": 9, "says": says})
    job = jobs.send(provider, WORDS)
    state = over(provider, job)
    assert (state.phase, drivers(jobs, job)) == ("rejected", 1)
    assert state.problems[0].code == why and says in state.problems[0].message


def test_fewer_gpus_than_the_job_needs(jobs: Jobs) -> None:
    """The stand-in has one."""
    provider = jobs.provider(tensor_parallel=2, data_parallel=2)
    state = over(provider, jobs.send(provider, WORDS))
    assert (state.phase, state.problems[0].code) == ("rejected", "no_gpu")
    assert "Ray sees 1 here, 4 are needed" in state.problems[0].message
    with pytest.raises(EngineFailed, match="4 are needed") as caught:  # who asks next is told
        jobs.send(provider, WORDS)
    assert caught.value.why == "no_gpu"
    again = provider.create(intent_of(10), jobs.wire(WORDS), provider.upload(intent_of(10), jobs.wire(WORDS)))
    assert provider.state(again).phase == "rejected"  # told once: whoever asks all the same is not kept from it


def test_a_driver_without_a_sign_of_life_is_ended_and_begun_again(jobs: Jobs) -> None:
    now = [time.time()]
    provider = jobs.provider(flags={"hang_after": 1}, stall_s=60, clock=lambda: now[0])
    job = jobs.send(provider, WORDS)
    part = jobs.folder / job / "part-1.jsonl"
    eventually(lambda: part.exists() and part.stat().st_size)
    stuck = pid_of(jobs, job)
    assert provider.state(job).phase == "working" and kernel.look(stuck) is not None
    now[0] += 61
    (jobs.folder / job / "beat-1").touch()
    os.utime(jobs.folder / job / "beat-1", (now[0] - 59, now[0] - 59))
    provider.state(job)
    assert kernel.look(stuck) is not None  # its engine generates
    now[0] += 2
    assert provider.state(job).phase == "working"
    assert kernel.look(stuck) is None and drivers(jobs, job) == 2
    now[0] = time.time()
    assert over(provider, job).status == "completed"


# -- ended by a person, and what is not there


def test_cancel_ends_the_group_and_keeps_what_is_answered(jobs: Jobs, tmp_path: Path) -> None:
    provider = jobs.provider(flags={"hang_after": 1})
    job = jobs.send(provider, WORDS)
    part = jobs.folder / job / "part-1.jsonl"
    eventually(lambda: part.exists() and part.stat().st_size)
    driver = pid_of(jobs, job)
    assert os.getpgid(driver) == driver != os.getpgrp()
    provider.cancel(job)
    assert kernel.look(driver) is None
    state = provider.state(job)
    assert (state.phase, state.status) == ("ended", "cancelled")
    assert len(lines(provider, state, tmp_path / "down")) == 2
    provider.cancel(job)
    assert provider.state(job) == state and drivers(jobs, job) == 1


def test_an_interpreter_that_lacks_something_is_named_before_anything_is_made(jobs: Jobs, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    bare.write_text("#!/bin/sh\necho ray[data] vllm\n")
    bare.chmod(0o755)
    for python, said in ((str(bare), r"has no ray\[data\] and no vllm"), ("/nowhere/python", "cannot be asked")):
        provider = jobs.provider(python=python)
        with pytest.raises(EngineFailed, match=said) as caught:
            jobs.send(provider, WORDS)
        assert caught.value.why == "not_installed" and 'pip install "ray[data]" vllm' in str(caught.value.hint)
        assert provider.find(intent_of(10)) == []


def test_no_secret_reaches_the_driver(jobs: Jobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("HF_TOKEN", "hf-for-the-download")
    provider = jobs.provider(flags={"hang_after": 0})
    job = jobs.send(provider, WORDS)
    environment = Path(f"/proc/{pid_of(jobs, job)}/environ")
    eventually(lambda: b"HF_TOKEN" in environment.read_bytes())
    assert b"sk-secret" not in environment.read_bytes()


def test_make_gives_it_to_a_profile_with_this_engine(jobs: Jobs) -> None:
    provider = jobs.provider()
    made = make(provider.profile, "")
    assert type(made) is type(provider) and realm_of(made.profile, rehearse=False) == "ray@local"
    assert (provider.profile.windows, provider.profile.only_now, provider.profile.local) == (("24h",), False, True)
    made.close()


@pytest.mark.parametrize(
    ("host", "held", "alive"),
    [("here", False, False), ("here", True, True), ("elsewhere", False, None), ("elsewhere", True, True)],
)
def test_a_driver_of_another_boot_is_known_by_its_lock(
    tmp_path: Path, host: str, held: bool, alive: bool | None
) -> None:
    """Not held: this machine has booted anew since, or it may be that the file system does not share its locks."""
    ours = settings.owner()
    owner = ours if host == "here" else f"elsewhere:{ours.partition(':')[2]}"
    record.save(tmp_path, record.Record("mark", "another boot", 0, "tiny", "1", owner, os.getpid(), "1"))
    with (tmp_path / "lock").open("a") as lock:
        if held:
            fcntl.flock(lock, fcntl.LOCK_EX)
        assert ray_driver.alive(tmp_path) is alive
        ray_driver.end(tmp_path)  # and nothing of this boot is taken for it: this process is here


def test_a_folder_without_a_record_has_no_driver(tmp_path: Path) -> None:
    assert ray_driver.alive(tmp_path) is False and ray_driver.failure(tmp_path) is None
    ray_driver.end(tmp_path)


def test_the_words_of_a_fault_are_those_of_its_own_driver(tmp_path: Path) -> None:
    """What an earlier driver died of says nothing of the last one."""
    ray_state.log_of(tmp_path, 1).write_text("CUDA out of memory\n")
    ray_state.log_of(tmp_path, 2).write_text("INFO all is well\nRuntimeError: the actor died\n")
    (tmp_path / "fault.json").write_text('{"driver": 1, "message": "RuntimeError: No GPU: none"}')
    found = ray_driver.failure(tmp_path)
    assert found is not None and found[0] == "crash" and "the actor died (log: " in found[1]
    (tmp_path / "fault.json").write_text('{"driver": 2, "message": "RuntimeError: No GPU: none"}')
    found = ray_driver.failure(tmp_path)
    assert found is not None and found[0] == "no_gpu" and found[1].startswith("RuntimeError: No GPU: none (log: ")
