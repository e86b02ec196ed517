"""Is this commit fit to be released? ``make release-check``, and the release workflow before it publishes.

    python scripts/release_check.py                    # builds into dist/, installs, runs the quickstart, audits
    python scripts/release_check.py --tag v0.2.0       # also: tag, version and CHANGELOG.md agree
    python scripts/release_check.py --offline          # without the advisory databases
    python scripts/release_check.py --audit            # nothing but them

1. Version, CHANGELOG.md and tag agree.
2. The sdist is built, and the wheel from the sdist; both hold every prompt, SQL file, manifest and data file.
3. The wheel is installed into an empty environment; in an empty folder `init`, the whole quickstart in a rehearsal, a
   query. What is imported there is the wheel and not this checkout.
4. What was installed, and what the extras of AUDITED would install, is held against the advisory databases (pip-audit).
   An advisory is no release; neither is a package that no database knows, or a database that does not answer.

Nothing but Python and a package index is needed: the tools that it takes are installed into build/.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHIPPED = ("prompts", "sql", "manifests")
TOOLS = ("build>=1.2,<2", "pip-audit>=2.9,<3")
AUDITED = ("embed", "local", "notebook", "ray", "report")
"""Extras that users install; the others are for developers, or name what a trainer has anyway."""


class Unfit(Exception):
    """Why there is no release; one line for each reason."""


def disagreements(version: str, changelog: str, tag: str | None) -> list[str]:
    """What version, change log and tag do not agree on. Without a tag the changes may still be unreleased."""
    found = []
    heads = re.findall(r"^## \[([^\]]+)\](?: - (\S+))?$", changelog, re.MULTILINE)
    if not heads or heads[0][0] != "Unreleased":
        found.append("CHANGELOG.md does not begin with ## [Unreleased]")
    released = dict(heads[1:] if heads else [])
    unreleased = re.split(r"^## ", changelog, flags=re.MULTILINE)[1] if heads else ""
    if tag is None:
        if version in released and re.search(r"^- ", unreleased, re.MULTILINE):
            found.append(f"{version} is released already and there are changes since: raise the version")
        return found
    if tag != f"v{version}":
        found.append(f"the tag {tag} is not v{version}, the version of pyproject.toml")
    if version not in released:
        found.append(f"CHANGELOG.md has no section ## [{version}] - DATE")
    elif not re.fullmatch(r"\d{4}-\d{2}-\d{2}", released[version]):
        found.append(f"CHANGELOG.md does not say on which day {version} was released")
    if re.search(r"^- ", unreleased, re.MULTILINE):
        found.append(f"CHANGELOG.md still has changes that no version has: move them below ## [{version}]")
    return found


def lacking(names: set[str], wanted: Sequence[str], prefix: str) -> list[str]:
    """Files that an archive should hold below ``prefix`` and does not."""
    return [name for name in wanted if f"{prefix}{name}" not in names]


def wanted_files(root: Path) -> tuple[list[str], list[str]]:
    """(what is shipped as data, what lies in the package beside its modules), as paths below ``root``."""
    shipped = [path for folder in SHIPPED for path in sorted((root / folder).rglob("*")) if path.is_file()]
    package = [path for path in sorted((root / "chimera_batch").rglob("*")) if path.is_file()]
    ours = [path for path in package if "__pycache__" not in path.parts and "shipped" not in path.parts]
    return [path.relative_to(root).as_posix() for path in shipped], [path.relative_to(root).as_posix() for path in ours]


def check_archives(root: Path, wheel: Path, sdist: Path) -> None:
    """Raises Unfit naming the files that are not inside, or should not be."""
    shipped, package = wanted_files(root)
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    with tarfile.open(sdist) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    missing = [*lacking(names, shipped, "chimera_batch/shipped/"), *lacking(names, package, "")]
    missing += [f"{name} (sdist)" for name in lacking(inside, [*shipped, *package], "")]
    foreign = sorted(n for n in names if n.startswith(("tests/", "bench/", "scripts/")) or "__pycache__" in n)
    if missing or foreign:
        raise Unfit("\n".join([*(f"not inside: {name}" for name in missing), *(f"inside: {name}" for name in foreign)]))


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command and return what it prints. Raises Unfit with the end of what it said."""
    words = [str(word) for word in command]
    sys.stdout.write(f"+ {' '.join(words)}\n")
    sys.stdout.flush()
    ended = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if ended.returncode != 0:
        raise Unfit(f"{words[0]} ended with {ended.returncode}\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
    return ended.stdout


def environment(folder: Path) -> Path:
    """An empty environment; its bin folder."""
    run(sys.executable, "-m", "venv", "--clear", folder)
    return folder / "bin"


def build(tools: Path) -> tuple[Path, Path]:
    """(wheel, sdist) in dist/, the wheel built from the sdist."""
    shutil.rmtree(ROOT / "dist", ignore_errors=True)
    run(tools / "python", "-m", "build", "--outdir", "dist", ROOT)
    (wheel,), (sdist,) = (ROOT / "dist").glob("*.whl"), (ROOT / "dist").glob("*.tar.gz")
    return wheel, sdist


def try_out(wheel: Path, version: str) -> None:
    """Install the wheel and use it as a newcomer would. Raises Unfit."""
    home = environment(ROOT / "build" / "release")
    run(home / "pip", "install", "--quiet", wheel)
    program = home / "chimera-batch"
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        if version not in run(program, "--version", cwd=here):
            raise Unfit(f"chimera-batch --version does not say {version}")
        run(program, "init", ".", cwd=here)
        run(program, "run", "manifests/quickstart.yaml", "--rehearse", cwd=here)
        rows = run(program, "query", "--format", "csv", "SELECT subject FROM dataset GROUP BY 1", cwd=here).split("\n")
        if len([row for row in rows if row]) != 9:  # eight subjects and the head
            raise Unfit(f"the quickstart's data set has other subjects than its manifest: {rows}")


def pinned(report: str) -> list[str]:
    """``name==version`` of everything that pip would install, from its installation report; ourselves left out."""
    found = (one["metadata"] for one in json.loads(report)["install"])
    return sorted(f"{one['name']}=={one['version']}" for one in found if one["name"] != "chimera-batch")


def audit(tools: Path, exact: Sequence[str], *service: str) -> None:
    """Hold exact versions against the advisory databases. ``service``: pip-audit's own words for which.

    Raises Unfit for an advisory, for a package that the database does not know, and where it does not answer: what
    could not be looked up is not known to be safe.
    """
    listed = ROOT / "build" / "release.txt"
    listed.parent.mkdir(exist_ok=True)
    listed.write_text("".join(f"{line}\n" for line in exact), encoding="utf-8")
    words = ("--strict", "--no-deps", "--disable-pip", "--progress-spinner", "off")
    run(tools / "pip-audit", *words, *service, "--requirement", listed)


def versions(tools: Path, what: str | Path) -> list[str]:
    """What pip would install now of a wheel or a checkout with the extras of AUDITED."""
    wanted = f"{what}[{','.join(AUDITED)}]"
    said = run(tools / "pip", "install", "--quiet", "--dry-run", "--ignore-installed", "--report", "-", wanted)
    return pinned(said)


def toolbox() -> Path:
    """An environment with what a release takes; its bin folder."""
    tools = environment(ROOT / "build" / "tools")
    run(tools / "pip", "install", "--quiet", *TOOLS)
    return tools


def check(tag: str | None, *, offline: bool) -> None:
    """All of it, one after the other. Raises Unfit."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    if found := disagreements(version, (ROOT / "CHANGELOG.md").read_text("utf-8"), tag):
        raise Unfit("\n".join(found))
    tools = toolbox()
    wheel, sdist = build(tools)
    check_archives(ROOT, wheel, sdist)
    try_out(wheel, version)
    if not offline:
        audit(tools, versions(tools, wheel))
    sys.stdout.write(f"fit to be released: {wheel.name}, {sdist.name}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 fit, 1 not."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--tag", help="the tag that is released, such as v0.2.0")
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument("--offline", action="store_true", help="leave out the advisory databases")
    alone.add_argument("--audit", action="store_true", help="nothing but the advisory databases, for this checkout")
    said = parser.parse_args(argv)
    try:
        if said.audit:
            tools = toolbox()
            audit(tools, versions(tools, ROOT))
        else:
            check(said.tag, offline=said.offline)
    except Unfit as reason:
        sys.stdout.write(f"not fit to be released:\n{reason}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
