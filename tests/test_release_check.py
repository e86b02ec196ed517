"""scripts/release_check.py: what is no release is said; the whole of it is typed before one."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import threading
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

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


REPORT = {
    "install": [
        {"metadata": {"name": "orjson", "version": "3.12.1"}},
        {"metadata": {"name": "chimera-batch", "version": "0.2.0"}},
        {"metadata": {"name": "click", "version": "8.3.0"}},
    ]
}


def test_what_would_be_installed_is_pinned_but_for_ourselves() -> None:
    """No database knows a version that is not released yet."""
    assert release_check.pinned(json.dumps(REPORT)) == ["click==8.3.0", "orjson==3.12.1"]


def test_every_extra_that_a_user_installs_is_audited() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    ours = {"dev", "slow", "bench", "train"}  # of developers; of what reads an export
    assert set(release_check.AUDITED) == set(extras) - ours


def test_the_audit_alone_looks_at_what_this_checkout_would_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed: list[list[str]] = []

    def run(*command: str | Path, cwd: Path = ROOT) -> str:
        typed.append([str(word) for word in command])
        return json.dumps(REPORT) if "--report" in command else ""

    monkeypatch.setattr(release_check, "run", run)
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    assert release_check.main(["--audit"]) == 0
    assert f"{tmp_path}[{','.join(release_check.AUDITED)}]" in typed[-2]
    assert typed[-1][0].endswith("pip-audit") and "--strict" in typed[-1]
    assert (tmp_path / "build" / "release.txt").read_text("utf-8") == "click==8.3.0\norjson==3.12.1\n"
    assert "release_check.py --audit" in (ROOT / "Makefile").read_text("utf-8")


class Advisories(BaseHTTPRequestHandler):
    """An advisory database in OSV's protocol, that knows something of one version of one package."""

    asked: list[dict[str, Any]]
    status: int

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(asked)
        package = {"name": "jinja2", "ecosystem": "PyPI"}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "3.1.6"}]}]
        affected = [{"package": package, "ranges": ranges}]
        known = {"id": "PYSEC-2025-1", "summary": "sandbox breakout", "affected": affected}
        struck = asked["package"]["name"] == "jinja2" and asked["version"] == "3.1.5"
        body = json.dumps({"vulns": [known]} if struck else {}).encode()
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def advisories(status: int = 200) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    handler = type("Database", (Advisories,), {"asked": [], "status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query", handler.asked  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def audited(url: str, *versions: str) -> None:
    tools = Path(sys.executable).parent
    if not (tools / "pip-audit").exists():
        pytest.skip("pip-audit is not installed: pip install 'pip-audit>=2.9,<3'")
    release_check.audit(tools, versions, "--vulnerability-service", "osv", "--osv-url", url)


@pytest.mark.slow
def test_an_advisory_is_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    with advisories() as (url, asked):
        audited(url, "click==8.3.0", "jinja2==3.1.6")
        assert sorted((one["package"]["name"], one["version"]) for one in asked) == [
            ("click", "8.3.0"),
            ("jinja2", "3.1.6"),
        ]
        with pytest.raises(Unfit, match=r"(?s)jinja2 3\.1\.5 +PYSEC-2025-1 +3\.1\.6.*Found 1 known vulnerability"):
            audited(url, "click==8.3.0", "jinja2==3.1.5")


@pytest.mark.slow
def test_a_database_that_does_not_answer_is_no_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(release_check, "ROOT", tmp_path)
    with advisories(status=503) as (url, asked):
        with pytest.raises(Unfit, match="pip-audit ended with 1"):
            audited(url, "click==8.3.0")
        assert asked
    with pytest.raises(Unfit, match="pip-audit ended with 1"):
        audited(url, "click==8.3.0")  # nobody listens there any more


def test_unfit_is_exit_1_and_says_why(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert release_check.main(["--tag", "v99.0.0", "--offline"]) == 1  # before anything is built
    assert "the tag v99.0.0 is not" in capsys.readouterr().out


# -- the workflow: it runs where nobody looks on, so all of it that can be is held here

WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
FLOW = yaml.safe_load(WORKFLOW.read_text("utf-8"))
CHECK, PUBLISH = FLOW["jobs"]["check"], FLOW["jobs"]["publish"]
STEPS = [step for job in FLOW["jobs"].values() for step in job["steps"]]


def test_the_workflow_publishes_only_what_was_checked() -> None:
    (upload,) = [step for step in CHECK["steps"] if step.get("uses", "").startswith("actions/upload-artifact@")]
    download, publish = PUBLISH["steps"]
    assert CHECK["steps"][-1] == upload and CHECK["steps"][-2]["run"], (
        "after the check, which ends the job where it fails"
    )
    assert PUBLISH["needs"] == "check" and publish["uses"].startswith("pypa/gh-action-pypi-publish@")
    assert download["with"].items() <= upload["with"].items()
    assert upload["with"]["path"].rstrip("/") == "dist", "where release_check builds, and what the publishing takes"
    assert set(FLOW["jobs"]) == {"check", "publish"}
    assert not any("if" in step or "continue-on-error" in step for step in [*STEPS, CHECK, PUBLISH])


def test_a_tag_begins_it_and_nothing_else() -> None:
    assert FLOW[True] == {"push": {"tags": ["v*"]}}  # yaml reads `on` as true
    assert {job["runs-on"] for job in (CHECK, PUBLISH)} == {"ubuntu-latest"}


def test_each_job_may_do_no_more_than_it_must() -> None:
    assert FLOW["permissions"] == {"contents": "read"} and "permissions" not in CHECK
    assert PUBLISH["permissions"] == {"id-token": "write"} and PUBLISH["environment"] == "release"
    (checkout,) = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkout["with"]["persist-credentials"] is False
    assert "secrets." not in WORKFLOW.read_text("utf-8")


def test_every_action_is_named_by_its_commit() -> None:
    lines = [line for line in WORKFLOW.read_text("utf-8").splitlines() if "uses:" in line]
    assert len(lines) == len([step for step in STEPS if "uses" in step]) == 5
    for line in lines:
        assert re.search(r"uses: [\w-]+/[\w-]+@[0-9a-f]{40}  # v\d+\.\d+\.\d+$", line), line


@pytest.mark.parametrize("tag", ["v0.1.0", "v1;touch${IFS}here", "v1$(touch${IFS}here)", "v1`id`", "v1|cat", "-v1"])
def test_a_tag_is_one_word_whatever_its_name(tag: str, tmp_path: Path) -> None:
    """The step's own line, in the workflow's shell, with a python that says how it was called."""
    (step,) = [step for step in STEPS if "run" in step]
    assert step["env"] == {"TAG": "${{ github.ref_name }}"} and "${{" not in step["run"]
    (tmp_path / "python").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n', encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    path = {"PATH": f"{tmp_path}:/usr/bin:/bin", "TAG": tag}
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
    done = subprocess.run(words, env=path, cwd=tmp_path, capture_output=True, text=True, check=True)
    script, *said = done.stdout.splitlines()
    assert (ROOT / script).samefile(release_check.__file__) and said == ["--tag", tag]
    assert not (tmp_path / "here").exists()


def test_the_interpreter_of_the_release_is_one_that_the_project_takes() -> None:
    (setup,) = [step for step in STEPS if step.get("uses", "").startswith("actions/setup-python@")]
    assert (
        (ROOT / "pyproject.toml").read_text("utf-8").count(f'requires-python = ">={setup["with"]["python-version"]}"')
    )
