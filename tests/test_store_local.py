"""The folder store: what a crash, a full disk or somebody else's files do to it."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chimera_batch.errors import ChimeraError, InputError, MissingObject, StoreDown
from chimera_batch.stores import disk, open_store
from chimera_batch.stores.local import FolderStore

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "one"


@pytest.fixture
def store(root: Path) -> FolderStore:
    return FolderStore(root)


def test_objects_are_plain_files_of_their_owner(store: FolderStore, root: Path) -> None:
    previous = os.umask(0)
    try:
        assert store.create("shards/ab/1", b"x")
    finally:
        os.umask(previous)
    assert store.fetch("shards/ab/1") == root / "shards/ab/1"
    assert stat.S_IMODE((root / "shards/ab/1").stat().st_mode) == 0o600
    for folder in (root, root / "shards", root / "shards/ab", root / ".part"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list((root / ".part").iterdir()) == []
    assert (root / "shards/ab/1").stat().st_nlink == 1


def test_a_folder_that_was_there_keeps_its_mode(store: FolderStore, root: Path) -> None:
    root.mkdir(parents=True, mode=0o755)
    root.chmod(0o755)
    assert store.create("a", b"x")
    assert stat.S_IMODE(root.stat().st_mode) == 0o755


def test_leftovers_of_a_crash_are_never_seen(store: FolderStore, root: Path) -> None:
    assert store.create("a/b", b"x")
    (root / ".part" / "0123.part").write_bytes(b"half")
    (root / "a" / ".part").mkdir()
    (root / "a" / ".part" / "4567.part").write_bytes(b"half")
    assert list(store.list("")) == ["a/b"]
    assert list(store.list("a/")) == ["a/b"]
    with pytest.raises(ValueError, match="not a store key"):
        store.read(".part/0123.part")
    assert FolderStore(root).create("a/b", b"y") is False


def test_what_is_not_an_object_is_passed_over(store: FolderStore, root: Path, tmp_path: Path) -> None:
    assert store.create("a/b", b"x")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(b"s")
    (root / "a" / "with space").write_bytes(b"")
    (root / "ümlaut").mkdir()
    (root / "ümlaut" / "c").write_bytes(b"")
    (root / "loop").symlink_to(root)
    (root / "away").symlink_to(outside)
    (root / "a" / "link").symlink_to(outside / "secret")
    os.mkfifo(root / "a" / "pipe")
    assert list(store.list("")) == ["a/b"]
    assert not store.exists("a/pipe")


def test_the_address_is_absolute_whatever_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for typed, meant in [
        ("runs", "runs"),
        ("./runs/", "runs"),
        ("a/../runs", "runs"),
        (str(tmp_path / "runs"), "runs"),
        ("~/runs", "home/runs"),
        ("runs with space/é", "runs with space/é"),
    ]:
        assert open_store(typed, cache=tmp_path / "c").url == str(tmp_path / meant)
    assert list(tmp_path.iterdir()) == [], "opening writes nothing"
    store = open_store("runs", cache=tmp_path / "c")
    monkeypatch.chdir("/")
    assert store.create("a", b"x")
    assert (tmp_path / "runs" / "a").exists()


@pytest.mark.parametrize("url", ["", " ", "gs://bucket/x", "http://host/x", "S4://b", "file:///tmp/x"])
def test_unknown_addresses_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        open_store(url, cache=tmp_path)
    assert "s3://" in str(caught.value.hint)


def test_everything_is_synced_before_it_counts(store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order is what makes a power cut harmless: content, then the link, then the folder's own names."""
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def name(handle: int) -> str:
        return str(Path(f"/proc/self/fd/{handle}").readlink()).removeprefix(str(root.parent)).lstrip("/")

    def spy_fsync(handle: int) -> None:
        steps.append(
            "sync " + ("content" if name(handle).endswith(".part") and "/.part/" in name(handle) else name(handle))
        )
        fsync(handle)

    def spy_link(source: str, target: str, **how: object) -> None:
        steps.append("link")
        link(source, target)

    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "link", spy_link)
    assert store.create("a/b/c", b"x")
    assert steps[-5:] == ["sync content", "sync one", "sync one/a", "link", "sync one/a/b"]
    steps.clear()
    assert store.create("a/b/d", b"x")
    assert steps == ["sync content", "link", "sync one/a/b"], "known folders are not synced again"


def test_a_dropped_file_becomes_the_object(store: FolderStore, root: Path, tmp_path: Path) -> None:
    """Nothing is copied: a result of 2 GB would be read and written once more."""
    source = tmp_path / "source"
    source.write_bytes(b"x")
    source.chmod(0o644)
    before = source.stat()
    assert store.create_file("a/b", source, drop=True)
    after = (root / "a/b").stat()
    assert (after.st_dev, after.st_ino, after.st_nlink) == (before.st_dev, before.st_ino, 1)
    assert stat.S_IMODE(after.st_mode) == 0o600
    assert not (root / ".part").exists(), "nothing was half there"


def test_a_dropped_file_is_synced_before_it_is_linked(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    fsync, link = os.fsync, os.link

    def spy_fsync(handle: int) -> None:
        steps.append("content" if stat.S_ISREG(os.fstat(handle).st_mode) else "names")
        fsync(handle)

    def spy_link(source: str, target: str, **how: object) -> None:
        steps.append("link")
        link(source, target)

    assert store.create("a/b", b"so that the folders are there")
    source = tmp_path / "source"
    source.write_bytes(b"x")
    monkeypatch.setattr(os, "fsync", spy_fsync)
    monkeypatch.setattr(os, "link", spy_link)
    assert store.create_file("a/c", source, drop=True)
    assert steps == ["content", "link", "names"]


def test_a_dropped_file_of_another_disk_is_copied(
    store: FolderStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, link = tmp_path / "source", os.link
    source.write_bytes(b"x" * 3_000_000)

    def refuse(one: Path, other: Path, **how: object) -> None:
        if Path(one) == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link", str(one), str(other))
        link(one, other)

    monkeypatch.setattr(os, "link", refuse)
    assert store.create_file("a/b", source, drop=True)
    assert not source.exists()
    assert store.read("a/b") == b"x" * 3_000_000
    assert list((root / ".part").iterdir()) == []


def test_a_dropped_file_of_another_disk_is_synced_there_alone(
    store: FolderStore, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = Path("/dev/shm")
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("one file system is all that there is")
    synced: list[int] = []
    fsync = os.fsync

    def spy(handle: int) -> None:
        synced.append(os.fstat(handle).st_dev)
        fsync(handle)

    with tempfile.TemporaryDirectory(dir=elsewhere) as folder:
        source = Path(folder) / "source"
        source.write_bytes(b"x")
        monkeypatch.setattr(os, "fsync", spy)
        assert store.create_file("a/b", source, drop=True)
        assert not source.exists()
    assert store.read("a/b") == b"x"
    assert set(synced) == {root.stat().st_dev}


def test_a_dropped_file_that_was_linked_before_an_error_is_the_object(
    store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")

    def broken(folder: Path) -> None:
        raise OSError(errno.EIO, "Input/output error", str(folder))

    assert store.create("a/a", b"so that the folders are there")
    with monkeypatch.context() as patch:
        patch.setattr(disk, "sync_folder", broken)
        with pytest.raises(InputError, match="fails"):
            store.create_file("a/b", source, drop=True)
    assert source.samefile(store.fetch("a/b")), "whoever goes on with it must not write into it"
    assert store.create_file("a/b", source, drop=True) is False
    assert not source.exists()


@pytest.mark.parametrize("call", ["fsync", "link", "chmod"])
def test_a_refusal_leaves_a_dropped_file_where_it_is(
    call: str, store: FolderStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x")

    def refuse(*args: object, **how: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(source))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(InputError, match="full"):
            store.create_file("a/b", source, drop=True)
    assert source.read_bytes() == b"x" and not store.exists("a/b")
    assert store.create_file("a/b", source, drop=True) is True, "and the next try works"


REFUSALS = [
    (errno.ENOSPC, InputError, "full", "free some space"),
    (errno.EDQUOT, InputError, "full", "free some space"),
    (errno.EACCES, InputError, "cannot be used", "ls -ld"),
    (errno.EROFS, InputError, "cannot be used", "ls -ld"),
    (errno.EPERM, InputError, "cannot be used", "ls -ld"),
    (errno.EOPNOTSUPP, InputError, "hard links", "s3://"),
    (errno.EIO, InputError, "fails", "dmesg"),
    (errno.ESTALE, StoreDown, "does not answer", "again"),
    (errno.ENFILE, ChimeraError, "failed", "ls -la"),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: errno.errorcode[refusal[0]])
@pytest.mark.parametrize("call", ["fsync", "link", "open", "mkdir"])
def test_a_refusal_of_the_system_is_one_clear_error(
    call: str, refusal: tuple[int, type[ChimeraError], str, str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, kind, says, hint = refusal
    store = FolderStore(root)

    def refuse(*args: object, **how: object) -> None:
        raise OSError(number, os.strerror(number), str(root / "x"))

    with monkeypatch.context() as patch:
        patch.setattr(os, call, refuse)
        with pytest.raises(kind, match=says) as caught:
            store.create("a/b", b"x")
    assert type(caught.value) is kind
    assert str(root) in str(caught.value)
    assert hint in (caught.value.hint or "")
    assert not (root / ".part").exists() or list((root / ".part").iterdir()) == [], "no half file stays behind"
    assert store.create("a/b", b"x") is True, "and the next try works"


def test_a_disk_that_fills_up_in_mid_copy(store: FolderStore, root: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)

    def write(out: object) -> None:
        out.write(b"y" * 2_000_000)  # type: ignore[attr-defined]  # a binary file
        raise OSError(errno.ENOSPC, "No space left on device")

    target = tmp_path / "part"
    with pytest.raises(OSError, match="No space"):
        disk.write_private(target, write)
    assert not target.exists()
    with pytest.raises(KeyboardInterrupt):
        disk.write_private(target, interrupt)
    assert not target.exists()


def interrupt(out: object) -> None:
    raise KeyboardInterrupt


def test_an_unwritable_folder() -> None:
    """In a process that gives up root's rights, as root may write anywhere."""
    script = (
        "import os, sys; from pathlib import Path; from chimera_batch.errors import InputError\n"
        "from chimera_batch.stores.local import FolderStore\n"
        "if os.geteuid() == 0: os.seteuid(65534)\n"
        "try: FolderStore(Path(sys.argv[1])).probe()\n"
        "except InputError as error: print(error, error.hint)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o555)
        for root in (folder, f"{folder}/runs", f"{folder}/a/b"):
            line = [sys.executable, "-c", script, root]
            done = subprocess.run(line, capture_output=True, cwd=ROOT, text=True, check=True)
            assert "the store's folder cannot be used: Permission denied" in done.stdout
            assert f"ls -ld {root}" in done.stdout
        Path(folder).chmod(0o700)


def test_a_folder_that_may_not_be_read_is_no_empty_store(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer would make a run buy everything again."""
    assert store.create("a", b"x")

    def refuse(*args: object, **how: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(os, "scandir", refuse)
        patch.setattr(os, "stat", refuse)
        patch.setattr(Path, "open", refuse)
        for look in (lambda: list(store.list("")), lambda: store.exists("a"), lambda: store.read("a")):
            with pytest.raises(InputError, match="cannot be used"):
                look()


def test_a_file_where_the_store_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InputError, match="a file where a folder is needed"):
            FolderStore(root).probe()


def test_a_key_cannot_also_be_a_folder(store: FolderStore) -> None:
    assert store.create("a/b", b"x")
    for key in ("a", "a/b/c", "a/b/c/d"):
        with pytest.raises(InputError, match="a folder where a file is needed"):
            store.create(key, b"y")
    with pytest.raises(MissingObject):
        store.read("a/b/c")
    assert list(store.list("")) == ["a/b"]


def test_our_own_link_is_known_again(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """On NFS the reply to a link can be lost; the repeat then says that the name exists."""
    link = os.link

    def lost(source: str, target: str, **how: object) -> None:
        link(source, target)
        raise FileExistsError(errno.EEXIST, "File exists")

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", lost)
        assert store.create("a", b"mine") is True
    assert store.read("a") == b"mine"
    assert store.create("a", b"other") is False


def test_one_that_comes_first_between_look_and_link(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def late(source: str, target: str, **how: object) -> None:
        Path(target).write_bytes(b"theirs")
        link(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", late)
        assert store.create("a", b"mine") is False
    assert store.read("a") == b"theirs"


def test_deleting_takes_empty_folders_along_and_nothing_else(store: FolderStore, root: Path) -> None:
    for key in ("a/b/c/1", "a/b/2", "x/1"):
        assert store.create(key, b"")
    store.delete(["a/b/c/1", "x/1"])
    assert sorted(path.name for path in root.iterdir()) == [".part", "a"]
    assert not (root / "a/b/c").exists()
    store.delete(["a/b/2"])
    assert root.is_dir()
    assert store.create("a/b/c/1", b"again")


def test_a_folder_that_another_emptied_is_made_again(store: FolderStore, root: Path) -> None:
    assert store.create("probe/deep/1", b"x")
    FolderStore(root).delete(["probe/deep/1"])
    assert not (root / "probe").exists()
    assert store.create("probe/deep/2", b"x")


def test_creating_while_another_deletes(store: FolderStore, root: Path) -> None:
    """A folder may vanish between mkdir and link; the object must land all the same."""
    other = FolderStore(root)

    def write(number: int) -> bool:
        return store.create(f"probe/{number}", b"x")

    def wipe(number: int) -> None:
        other.delete([f"probe/{number}"])

    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(write, n) for n in range(60)]
        wiped = [pool.submit(wipe, n - 1) for n in range(60)]
        assert all(job.result() for job in written)
        for job in wiped:
            job.result()


def test_a_folder_that_keeps_vanishing(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*args: object, **how: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(os, "link", gone)
    with pytest.raises(ChimeraError, match="keeps vanishing"):
        store.create("a/b", b"x")


def test_only_the_folders_that_matter_are_visited(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("journal/1", "journal/2", "shards/a/1", "shards/b/1", "tables/x/y/1"):
        assert store.create(key, b"")
    visited: list[str] = []
    scandir = os.scandir

    def spy(path: Path) -> object:
        visited.append(Path(path).name)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", spy)
    cases: list[tuple[str, str, list[str]]] = [
        ("journal/", "journal/1", ["journal"]),
        ("shards/b", "", ["shards", "b"]),
        ("", "shards/a/1", ["one", "shards", "a", "b", "tables", "x", "y"]),
        ("shards/", "shards/b", ["shards", "b"]),
        ("absent/deep/", "", ["deep"]),
    ]
    for prefix, after, wanted in cases:
        visited.clear()
        list(store.list(prefix, after))
        assert visited == wanted, (prefix, after)


def test_reading_on_in_a_long_journal_looks_at_new_entries_only(
    store: FolderStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "journal").mkdir(parents=True)
    for n in range(2_000):
        (root / "journal" / f"{n:08d}").touch()
    looked = 0
    scandir = os.scandir

    class Entry:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.entry = entry.name, entry

        def __getattr__(self, name: str) -> Callable[..., object]:
            nonlocal looked
            looked += 1
            return getattr(self.entry, name)  # type: ignore[no-any-return]  # is_dir or is_file

    class Scan:
        def __init__(self, path: Path) -> None:
            self.scan = scandir(path)

        def __enter__(self) -> object:
            return map(Entry, self.scan)

        def __exit__(self, *how: object) -> None:
            self.scan.close()

    monkeypatch.setattr(os, "scandir", Scan)
    assert list(store.list("journal/", "journal/00001997")) == ["journal/00001998", "journal/00001999"]
    assert looked <= 6, "each look could be a system call"


@pytest.mark.slow
def test_a_killed_writer_leaves_whole_objects_only(root: Path) -> None:
    """SIGKILL in mid-write, again and again: what can be listed is whole, and everything acknowledged is there."""
    script = (
        "import sys; from pathlib import Path; from chimera_batch.stores.local import FolderStore\n"
        "store = FolderStore(Path(sys.argv[1])); n = int(sys.argv[2])\n"
        "while True:\n"
        "    assert store.create(f'k/{n:06d}', b'z' * 200_000); print(n, flush=True); n += 1\n"
    )
    acknowledged = 0
    for lap in range(8):
        line = [sys.executable, "-c", script, str(root), str(lap * 10_000)]
        process = subprocess.Popen(line, stdout=subprocess.PIPE, cwd=ROOT, text=True)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(0.02 + lap * 0.013)
        process.send_signal(signal.SIGKILL)
        said = [lap * 10_000, *map(int, process.stdout.read().split())]
        process.stdout.close()
        process.wait()
        store = FolderStore(root)
        listed = set(store.list("k/"))
        assert {f"k/{n:06d}" for n in said} <= listed
        acknowledged += len(said)
        for key in listed:
            assert store.fetch(key).stat().st_size == 200_000
    assert acknowledged >= 8
