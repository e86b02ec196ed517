"""Under cron a second command ends at once and does nothing; people's own runs are not kept from anything."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chimera_batch import settings, turns
from chimera_batch.errors import InputError, NotFinished
from tests.cli_kit import call, project


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return project(tmp_path)


def test_a_second_step_ends_at_once_and_touches_nothing(manifest: Path) -> None:
    with turns.at_work(manifest, None, rehearse=True, gives_way=True):
        for words in (["advance", manifest, "--rehearse"], ["run", manifest, "--rehearse", "--detach"]):
            done = call(*words)
            assert (done.code, done.out) == (5, "")
            head, hint = done.err.splitlines()
            assert head.startswith("not finished yet: ") and f"process {os.getpid()}" in head
            assert hint == f"  chimera-batch status --rehearse {manifest}"
        assert call("advance", manifest, "--rehearse", "--json").error["exit_code"] == 5
    assert not (manifest.parent / "runs").exists()


def test_a_step_gives_way_to_a_run_and_a_run_to_nothing(manifest: Path) -> None:
    with turns.at_work(manifest, None, rehearse=False, gives_way=False):
        with pytest.raises(NotFinished), turns.at_work(manifest, None, rehearse=False, gives_way=True):
            pass
        with turns.at_work(manifest, None, rehearse=False, gives_way=False):
            pass
    step = turns.at_work(manifest, None, rehearse=False, gives_way=True)
    with step, turns.at_work(manifest, None, rehearse=False, gives_way=False):
        pass


def test_other_manifests_stores_and_sides_have_turns_of_their_own(manifest: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_bytes(manifest.read_bytes())
    with turns.at_work(manifest, None, rehearse=False, gives_way=True):
        for path, store, rehearse in [(other, None, False), (manifest, "s3://b", False), (manifest, None, True)]:
            with turns.at_work(path, store, rehearse=rehearse, gives_way=True):
                pass


def test_the_same_manifest_by_another_path_is_the_same(manifest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(manifest.parent)
    link = manifest.parent / "link.yaml"
    link.symlink_to(manifest)
    with turns.at_work(manifest, None, rehearse=False, gives_way=True):
        for path in (manifest.name, link):
            with pytest.raises(NotFinished), turns.at_work(path, None, rehearse=False, gives_way=True):
                pass


def test_a_turn_ends_with_what_was_done_however_that_ended(manifest: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), turns.at_work(manifest, None, rehearse=False, gives_way=True):
            raise KeyboardInterrupt


def test_where_no_lock_can_be_had_it_goes_on(manifest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("CHIMERA_STATE", str(tmp_path / "file"))
    for _ in range(2):
        with turns.at_work(manifest, None, rehearse=False, gives_way=True):
            pass
    with turns.at_work(tmp_path / "nothing.yaml", None, rehearse=False, gives_way=True):
        pass  # whoever reads it says that it is not there


def test_a_user_without_a_home_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """As under cron, for a user that has no entry of its own."""
    monkeypatch.delenv("CHIMERA_STATE")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(InputError, match="HOME is not set") as caught:
        settings.state_dir()
    assert caught.value.hint == "export CHIMERA_STATE=/var/lib/chimera-batch"
