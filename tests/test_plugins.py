"""Adapters of other packages: a tiny one is laid beside ours as pip would, used end to end, and broken in every way."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chimera_batch import plugins, providers, stores
from chimera_batch.errors import InputError
from chimera_batch.providers import make, profiles
from chimera_batch.providers.base import Provider
from chimera_batch.stores import open_store
from tests.cli_kit import call, project

ACME = '''
"""A host of batches that is a folder: what is sent is answered at once, in capitals."""

import json
from pathlib import Path
from urllib.parse import urlsplit

from chimera_batch.records import BatchState, Reply, Usage
from chimera_batch.stores.local import connect as connect_folder


class Acme:
    def __init__(self, profile, api_key):
        assert api_key == "acme-secret"
        self.profile = profile
        self.folder = Path(urlsplit(profile.base_url).path)

    def upload(self, intent, path):
        (self.folder / intent.file_name).write_bytes(Path(path).read_bytes())
        return intent.file_name

    def create(self, intent, path, file_id):
        with (self.folder / "created.txt").open("a") as log:
            log.write(intent.file_name + "\\n")
        return file_id

    def find(self, intent):
        return []

    def state(self, batch_id):
        return BatchState(batch_id, "done", "ended", files=(batch_id,))

    def fetch(self, batch, folder):
        path = folder / "out.jsonl"
        path.write_bytes((self.folder / batch.id).read_bytes())
        yield path

    def decode(self, line):
        sent = json.loads(line)
        said = sent["body"]["messages"][-1]["content"].upper()
        return Reply(sent["custom_id"], "ok", text=said, model=sent["body"]["model"], usage=Usage(10, 0, 0, 0, 5, 0))

    def cancel(self, batch_id): ...

    def discard(self, file_ids):
        for name in file_ids:
            (self.folder / name).unlink(missing_ok=True)

    def find_uploads(self, intent):
        return []

    def close(self): ...

    def ask(self, line):
        return line


def connect(url, *, cache):
    return connect_folder(url.removeprefix("shelf:"), cache=cache)


class Half:
    def __init__(self, profile, api_key): ...


number = 7
'''
POINTS = """\
[chimera_batch.providers]
acme = acme_batch:Acme
half = acme_batch:Half
absent = acme_batch.nothing_there:Acme
number = acme_batch:number
openai = acme_batch:Acme

[chimera_batch.stores]
shelf = acme_batch:connect
s3 = acme_batch:connect
"""


def install(site: Path, package: str = "acme-batch", points: str = POINTS) -> None:
    """What ``pip install`` leaves of a package of one module."""
    module = package.replace("-", "_")
    (site / module).mkdir(parents=True)
    (site / module / "__init__.py").write_text(ACME, encoding="utf-8")
    info = site / f"{module}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.2\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    install(tmp_path / "site")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield tmp_path / "site"
    for name in ("acme_batch", "other_batch"):
        sys.modules.pop(name, None)


def profile(dialect: str, address: str = "https://acme.example/v1") -> profiles.Profile:
    said = {"dialect": dialect, "base_url": address, "api_key_env": "ACME_KEY"}
    return profiles.with_overrides(None, "acme", said)


def acme_manifest(folder: Path, store: str) -> Path:
    """The project of three questions, asked at the package's host."""
    path = project(folder)
    (folder / "host").mkdir()
    address = f"https://acme.example{folder / 'host'}"
    host = f"{{dialect: acme, base_url: '{address}', api_key_env: ACME_KEY}}"
    text = path.read_text(encoding="utf-8").replace("provider: openai", "provider: acme").replace(", effort: none", "")
    text = text.replace("\nbudget", f"\nproviders: {{acme: {host}}}\nbudget").replace(str(folder / "runs"), store)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.slow  # a whole run
def test_a_package_s_host_and_store_carry_a_run(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "acme-secret")
    path = acme_manifest(tmp_path, f"shelf:///{tmp_path / 'kept'}")
    again = ("run", path, "--yes", "--json", "--price", "acme/gpt-6-luna=1,1")
    done = call(*again)
    assert (done.code, done.document["state"]) == (0, "done"), done.err
    said = call("query", "-m", path, "SELECT row_key, text FROM answers_of ORDER BY 1", "--json", *again[4:]).document
    assert said == [{"row_key": word, "text": f"SAY {word.upper()}."} for word in "abc"]
    assert done.document["usd_spent"] == pytest.approx(3 * 15e-6)
    assert call(*again).code == 0
    assert len((tmp_path / "host" / "created.txt").read_text(encoding="utf-8").splitlines()) == 1  # bought once
    assert (tmp_path / "kept" / "format.json").is_file()
    assert "acme-secret" not in "".join(
        path.read_text("utf-8", "replace") for path in (tmp_path / "kept").rglob("*.json*")
    )


@pytest.mark.slow  # starts the loopback server
def test_a_package_s_host_can_be_rehearsed(site: Path, tmp_path: Path) -> None:
    path = acme_manifest(tmp_path, str(tmp_path / "kept"))
    done = call("run", path, "--rehearse", "--json", "--price", "acme/gpt-6-luna=1,1")
    assert (done.code, done.document["state"]) == (0, "done"), done.err
    assert not (tmp_path / "host" / "created.txt").exists()  # nobody's real host is asked


@pytest.mark.parametrize(
    ("dialect", "said"),
    [
        ("absent", "the provider absent of acme-batch 1.2 .*cannot be imported: ModuleNotFoundError"),
        ("number", "is a int and nothing to call"),
        ("half", "the provider half of acme-batch 1.2 lacks ask, cancel, close, create"),
    ],
)
def test_a_broken_one_is_named_with_its_package(site: Path, dialect: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        make(profile(dialect), "key")
    assert caught.value.hint == "pip install -U acme-batch"


def test_one_that_cannot_be_made_is_named(site: Path) -> None:
    with pytest.raises(InputError, match=r"provider acme of acme-batch 1\.2 cannot be made: AssertionError"):
        make(profile("acme"), "another key")


def test_errors_of_ours_go_through_a_package(site: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError) as caught:
        open_store(f"shelf:///{tmp_path / 'file'}/below", cache=tmp_path).probe()
    assert "cannot be made" not in caught.value.message


def test_what_nobody_offers_is_refused_with_what_there_is(site: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no store is known for ftp:// addresses \(a folder path, s3://, shelf://\)"):
        open_store("ftp://host/x", cache=tmp_path)
    with pytest.raises(InputError, match="dialect of provider acme must be one of openai, anthropic, bedrock"):
        profile("gopher")


def test_two_packages_of_one_name_are_nobody_s_choice(site: Path) -> None:
    install(site, "other-batch", "[chimera_batch.providers]\nacme = other_batch:Acme\n")
    with pytest.raises(InputError, match=r"acme-batch 1\.2 and other-batch 1\.2 both offer") as caught:
        make(profile("acme"), "acme-secret")
    assert (caught.value.hint or "").startswith("pip uninstall ")


def test_no_package_takes_the_place_of_ours(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "_points", lambda group: pytest.fail("a built-in name searches no package"))
    assert (
        type(make(profile("openai"), "key")).__module__ == "chimera_batch.providers.openai"
    )  # the package has one too
    assert type(open_store(str(tmp_path), cache=tmp_path)).__module__.startswith("chimera_batch.stores.")
    assert "s3" in stores.STORES  # which the package has too


def test_doctor_names_what_is_not_used_and_what_is_broken(site: Path) -> None:
    from chimera_batch.verbs import doctoring

    found = {(one.name, one.state): one for one in doctoring._plugins()}
    assert found["plugin acme", "ok"].detail == "the provider acme of acme-batch 1.2"
    assert found["plugin shelf", "ok"]
    assert "cannot be imported" in found["plugin absent", "broken"].detail
    for name in ("openai", "s3"):
        overruled = found[f"plugin {name}", "broken"]
        assert "is not used: the name is built in" in overruled.detail
        assert overruled.hint == "pip uninstall acme-batch"


def test_what_a_package_must_have_is_the_protocol(site: Path) -> None:
    plugin = plugins.Plugin(plugins.PROVIDERS, "x", "y 1")
    with pytest.raises(InputError) as caught:
        plugins.made(plugin, object, Provider)
    asked = caught.value.message.partition("lacks ")[2].split(", ")
    assert set(asked) == {name for name in vars(Provider) if not name.startswith("_")} >= {"upload", "decode", "ask"}


def test_a_dialect_of_a_package_is_cautious() -> None:
    assert providers.profiles._cautious("acme") == providers.profiles._cautious("openai")
    played = profiles.rehearsed(profiles.Profile(**{**_fields("openai"), "dialect": "acme"}))
    assert played.dialect == "openai"
    messages = profiles.Profile(**{**_fields("anthropic"), "dialect": "acme"})
    assert profiles.rehearsed(messages).dialect == "anthropic"


def _fields(name: str) -> dict[str, object]:
    known = profiles.builtin()[name]
    return {field: getattr(known, field) for field in known.__dataclass_fields__}
