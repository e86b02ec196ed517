"""scripts/release_check.py: what is no release is said; the whole of it is typed before one."""

from __future__ import annotations

import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import chimera_batch
from scripts import release_check
from scripts.release_check import Unfit, check_archives, disagreements
from tests.conftest import ROOT

OPEN = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- a thing\n"
DONE = "# Changelog\n\n## [Unreleased]\n\n## [0.2.0] - 2026-11-22\n\n- a thing\n"


@pytest.mark.parametrize(
    ("version", "changelog", "tag", "said"),
    [
        ("0.2.0", OPEN, None, []),
        ("0.2.0", DONE, None, []),
        ("0.2.0", DONE, "v0.2.0", []),
        ("0.2.0", DONE, "v0.3.0", ["the tag v0.3.0 is not v0.2.0"]),
        ("0.2.0", DONE, "0.2.0", ["the tag 0.2.0 is not v0.2.0"]),
        ("0.3.0", DONE, "v0.3.0", ["no section ## [0.3.0]"]),
        ("0.2.0", OPEN, "v0.2.0", ["no section ## [0.2.0]", "still has changes that no version has"]),
        ("0.2.0", DONE.replace(" - 2026-11-22", ""), "v0.2.0", ["does not say on which day"]),
        ("0.2.0", DONE.replace("\n## [0.2.0]", "\n- more\n\n## [0.2.0]"), None, ["raise the version"]),
        ("0.2.0", "# Changelog\n", None, ["does not begin with ## [Unreleased]"]),
    ],
)
def test_version_log_and_tag(version: str, changelog: str, tag: str | None, said: list[str]) -> None:
    found = disagreements(version, changelog, tag)
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def test_this_checkout_agrees_with_itself() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert version == chimera_batch.__version__
    assert disagreements(version, (ROOT / "CHANGELOG.md").read_text("utf-8"), None) == []


def archives(root: Path, *, leave_out: str = "", put_in: str = "") -> tuple[Path, Path]:
    """A wheel and an sdist of a small project."""
    for name in (
        "prompts/a.md",
        "sql/a.sql",
        "manifests/a.yaml",
        "chimera_batch/x.py",
        "chimera_batch/cost/prices.toml",
    ):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x", encoding="utf-8")
    shipped, package = release_check.wanted_files(root)
    assert len(shipped) == 3 and len(package) == 2
    inside = {f"chimera_batch/shipped/{name}": name for name in shipped} | {name: name for name in package}
    with zipfile.ZipFile(root / "a.whl", "w") as wheel:
        for target, name in inside.items():
            if target != leave_out:
                wheel.write(root / name, target)
        if put_in:
            wheel.writestr(put_in, "x")
    with tarfile.open(root / "a.tar.gz", "w:gz") as sdist:
        for name in {*shipped, *package} - {leave_out.removeprefix("sdist:")}:
            sdist.add(root / name, f"a-1.0/{name}")
    return root / "a.whl", root / "a.tar.gz"


def test_whole_archives_are_fit(tmp_path: Path) -> None:
    check_archives(tmp_path, *archives(tmp_path))


@pytest.mark.parametrize(
    ("leave_out", "put_in", "said"),
    [
        ("chimera_batch/shipped/sql/a.sql", "", "not inside: sql/a.sql"),
        ("chimera_batch/cost/prices.toml", "", "not inside: chimera_batch/cost/prices.toml"),
        ("sdist:prompts/a.md", "", r"not inside: prompts/a.md \(sdist\)"),
        ("", "tests/test_x.py", "inside: tests/test_x.py"),
        ("", "chimera_batch/__pycache__/x.pyc", "inside: chimera_batch/__pycache__/x.pyc"),
    ],
)
def test_what_is_missing_and_what_should_not_be_there_is_named(
    tmp_path: Path, leave_out: str, put_in: str, said: str
) -> None:
    with pytest.raises(Unfit, match=said):
        check_archives(tmp_path, *archives(tmp_path, leave_out=leave_out, put_in=put_in))


def test_a_command_that_fails_ends_it_with_what_it_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unfit, match=r"ended with 3\s+why"):
        release_check.run(sys.executable, "-c", "import sys; sys.stderr.write('why'); sys.exit(3)")
    assert capsys.readouterr().out.startswith("+ ")


def test_unfit_is_exit_1_and_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert release_check.main(["--tag", "v99.0.0", "--offline"]) == 1  # before anything is built
    assert "the tag v99.0.0 is not" in capsys.readouterr().out


def test_the_workflow_publishes_only_what_was_checked() -> None:
    flow = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text("utf-8"))
    check, publish = flow["jobs"]["check"], flow["jobs"]["publish"]
    lines = [step["run"] for step in check["steps"] if "run" in step]
    assert lines == ['make release-check ARGS="--tag $TAG"']
    assert publish["needs"] == "check"
    assert not any("run" in step for step in publish["steps"])  # it builds nothing itself
    assert re_target("release-check") and "${{" not in lines[0]


def re_target(name: str) -> bool:
    return f"\n{name}:" in (ROOT / "Makefile").read_text("utf-8")
