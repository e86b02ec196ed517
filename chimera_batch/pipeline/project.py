"""The project around a manifest: prompts, SQL and schemas found, read and tied into frozen stages.

Prompts and schemas lie in ``prompts/``, SQL in ``sql/``; a file is looked for in the project first, then among those
that shipped with this package, so a person keeps only what differs. Floor 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

from chimera_batch.errors import InputError
from chimera_batch.pipeline import entries, outside
from chimera_batch.pipeline import manifest as manifests
from chimera_batch.pipeline.schemas import canonical, read_schema, schema_name
from chimera_batch.pipeline.shape import Manifest, Notify
from chimera_batch.pipeline.shape_stage import AskStage, FileStage, FromStage, ModelChoice, SqlStage
from chimera_batch.pipeline.shipped import init, shipped_root
from chimera_batch.pipeline.stage import Assume, Fallback, Hint, Rounds, Rule, Source, Stage
from chimera_batch.pipeline.yamldoc import Document, Loc, report
from chimera_batch.providers import profiles as hosts
from chimera_batch.providers.base import Profile
from chimera_batch.records import Call

__all__ = [
    "Assume",
    "Hint",
    "Project",
    "Rounds",
    "Rule",
    "Source",
    "Stage",
    "init",
    "load",
    "project_root",
    "shipped_root",
]

_EMBEDDINGS = "/v1/embeddings"


@dataclass(frozen=True)
class Project:
    """A manifest with everything it names. ``store_url`` as typed: a relative folder is relative to where we run."""

    run: str
    path: Path
    root: Path
    store_url: str
    window: str
    params: Mapping[str, Any]
    budget_usd: Decimal | None
    budget_day_usd: Decimal | None  # of what is claimed on one UTC day
    profiles: Mapping[str, Profile]  # of the providers that the stages use
    prices_path: Path | None
    rehearsal: Mapping[str, Any]
    stages: tuple[Stage, ...]
    notify: Notify | None = None

    @cached_property
    def by_name(self) -> Mapping[str, Stage]:
        return {stage.name: stage for stage in self.stages}

    def stage(self, name: str) -> Stage:
        """Raises InputError naming the nearest stage."""
        if name not in self.by_name:
            near = manifests.suggestion(name, list(self.by_name))
            known = f"stages: {', '.join(self.by_name)}"
            raise InputError(f"there is no stage `{name}`{near}", where=str(self.path), hint=known)
        return self.by_name[name]


def load(path: Path | str, *, store: str | None = None, shipped: Path | None = None) -> Project:
    """Read a manifest and every file it names.

    ``store`` overrides the manifest's; ``shipped`` is where files that the project lacks are looked for (default: what
    came with the package). Raises InputError listing every problem with ``file:line``.
    """
    path = Path(path)
    manifest, document = manifests.load(path)
    resolver = _Resolver(manifest, document, shipped)
    stages = tuple(resolver.stage(number) for number in range(len(manifest.stages)))
    prices = resolver.prices()
    if resolver.problems:
        raise report(path, resolver.problems)
    return Project(
        run=manifest.run,
        path=path,
        root=resolver.root,
        store_url=store or manifest.store,
        window=manifest.window,
        params=manifest.params,
        budget_usd=manifest.budget.usd if manifest.budget else None,
        budget_day_usd=manifest.budget.usd_per_day if manifest.budget else None,
        profiles=resolver.profiles,
        prices_path=prices,
        rehearsal=manifest.rehearsal,
        stages=stages,
        notify=manifest.notify,
    )


def project_root(path: Path) -> Path:
    """The manifest's folder, or the one above if that is where prompts/ or sql/ lie."""
    here = path.parent
    for folder in (here, here / ".." if here == Path() else here.parent):
        if (folder / "prompts").is_dir() or (folder / "sql").is_dir():
            return folder
    return here


class _Resolver:
    """Gathers problems instead of stopping at the first one."""

    def __init__(self, manifest: Manifest, document: Document, shipped: Path | None) -> None:
        self.manifest = manifest
        self.document = document
        self.root = project_root(document.path)
        self.shipped = shipped or shipped_root()
        self.builtin = hosts.builtin()
        self.profiles: dict[str, Profile] = {}
        self.problems: list[tuple[str, str]] = []

    def problem(self, message: str, loc: Loc) -> None:
        found = (self.document.where(*loc), message)
        if found not in self.problems:
            self.problems.append(found)

    def stage(self, number: int) -> Stage:
        entry = self.manifest.stages[number]
        loc: Loc = ("stages", number)
        where = self.document.where(*loc)
        if isinstance(entry, FileStage):
            return self.loaded(entry, loc)
        if isinstance(entry, FromStage):
            run, _, table = entry.from_.partition("/")
            return Stage(entry.name, "sql", where, borrowed=(run, table))
        if isinstance(entry, SqlStage):
            return Stage(entry.name, "sql", where, table=self.source("sql", entry.sql, (*loc, "sql")))
        schema = self.source("prompts", entry.schema_, (*loc, "schema"))
        window = entry.window or self.manifest.window
        return Stage(
            name=entry.name,
            kind="ask",
            where=where,
            table=self.source("sql", entry.table, (*loc, "table")),
            calls=self.calls(entry, schema, window, (*loc, "schema")),
            prompt=self.source("prompts", entry.prompt, (*loc, "prompt")),
            rows=self.source("sql", entry.rows, (*loc, "rows")),
            schema=schema,
            samples=entry.samples,
            rounds=self.rounds(entry, loc),
            window=window,
            assume=entries.assume_of(entry),
            retry=entries.rules_of(entry),
            budget_usd=entry.budget_usd,
            canary=entry.canary,
            breaker=entry.breaker,
            route=entry.route,
            fallback=self.fallback(entry, (*loc, "fallback")),
            hints=tuple(Hint(c.assume_output_tokens, c.context_tokens) for c in self.manifest.models[entry.ask]),
            longer_if_it_pays=entry.retry.truncated.pays,
        )

    def loaded(self, entry: FileStage, loc: Loc) -> Stage:
        """The table of a person's files; each problem with them is noted."""
        table: Source | None = None
        files: tuple[Path, ...] = ()
        try:
            files = outside.found(entry.file, list(dict.fromkeys((self.root, self.document.path.parent))))
            table = outside.of_files(entry.name, files, entry.key)
        except InputError as error:
            self.problem(error.message, (*loc, "file"))
        return Stage(entry.name, "sql", self.document.where(*loc), table=table, files=files)

    def rounds(self, entry: AskStage, loc: Loc) -> Rounds | None:
        said = entry.rounds
        if said is None:
            return None
        until = self.source("sql", said.until, (*loc, "rounds", "until"))
        return Rounds(said.max, until, said.after, said.sized_by)

    def fallback(self, entry: AskStage, loc: Loc) -> Fallback | None:
        choices = self.manifest.models[entry.ask]
        models = {(choice.provider, choice.model) for choice in choices}
        if said := entries.fallback_problem(entry, len(models)):
            self.problem(said, loc)
        return entries.fallback_of(entry, len(models))

    def source(self, folder: str, name: str | None, loc: Loc) -> Source | None:
        """The file, or None (after noting a problem, if it should have been there)."""
        if name is None:
            return None
        tried = [base / folder / name for base in dict.fromkeys((self.root, self.shipped))]
        path = next((candidate for candidate in tried if outside.is_file(candidate)), None)
        if path is None:
            self.problem(f"there is no file {' nor '.join(map(str, tried))}", loc)
            return None
        if not any(path.resolve().is_relative_to(base.resolve()) for base in (self.root, self.shipped)):
            self.problem(f"{path} is a link to {path.resolve()}, outside of the project: put a copy there", loc)
            return None  # a project of somebody else's could have any file of ours sent to a provider
        try:
            text = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n")
        except (OSError, UnicodeDecodeError) as error:
            self.problem(f"{path} cannot be read: {error}", loc)
            return None
        if not text.strip():
            self.problem(f"{path} is empty", loc)
            return None
        return Source(name, path, text)

    def calls(self, entry: AskStage, schema: Source | None, window: str, loc: Loc) -> tuple[Call, ...]:
        choices = self.manifest.models[entry.ask]
        calls = [call for n, choice in enumerate(choices) if (call := self.call(entry.ask, n, choice))]
        self.check_window(entry, window, calls)
        if schema is None:
            return tuple(calls)
        if any(call.endpoint == _EMBEDDINGS for call in calls):
            self.problem("an embedding has no schema", loc)
        try:
            text, name = read_schema(schema.text, schema.path), schema_name(schema.name)
        except InputError as error:
            self.problems.append((error.where or schema.where(), error.message))
            return tuple(calls)
        return tuple(replace(call, schema=text, schema_name=name) for call in calls)

    def check_window(self, entry: AskStage, window: str, calls: list[Call]) -> None:
        """Every choice must offer the stage's window; of those to route between, one."""
        lacks = [self.profiles[call.provider].lacks(window) for call in calls]
        if entry.route == "cheapest" and None in lacks:
            return
        able = ", ".join(sorted(name for name, known in {**self.builtin, **self.profiles}.items() if known.flex))
        for number, said in enumerate(lacks):
            if said:
                also = f": only {able}" if window == "flex" else ""
                self.problem(said + also, ("models", entry.ask, number))
        if window == "flex" and any(call.endpoint == _EMBEDDINGS for call in calls):
            self.problem("embeddings have no flex", ("models", entry.ask))

    def call(self, model: str, number: int, choice: ModelChoice) -> Call | None:
        loc: Loc = ("models", model, number)
        profile = self.profile(choice.provider, loc)
        if profile is None:
            return None
        endpoint = choice.endpoint or profile.endpoints[0]
        if endpoint not in profile.endpoints:
            known = ", ".join(profile.endpoints)
            self.problem(f"{profile.name} takes {known} in batches, not {endpoint}", (*loc, "endpoint"))
        if refused := hosts.refuses(profile, choice.model):
            self.problem(refused, (*loc, "model"))
        return Call(
            provider=profile.name,
            endpoint=endpoint,
            model=choice.model,
            max_output_tokens=choice.max_output_tokens,
            effort=choice.effort,
            temperature=choice.temperature,
            top_p=choice.top_p,
            top_k=choice.top_k,
            cache=choice.cache,
            extra=canonical(choice.extra, sort_keys=True),
        )

    def profile(self, name: str, loc: Loc) -> Profile | None:
        if name not in self.profiles:
            fields = self.manifest.providers.get(name)
            base = self.builtin.get(name)
            if fields is None and base is None:
                near = manifests.suggestion(name, sorted({*self.builtin, *self.manifest.providers}))
                self.problem(f"`{name}` is neither built in nor among `providers:`{near}", (*loc, "provider"))
                return None
            try:
                self.profiles[name] = hosts.with_overrides(base, name, fields or {})
            except InputError as error:
                path = (error.where or "").split(".", 3)  # "providers.NAME.FIELD" or "providers.NAME.engine.FIELD"
                also = f"; {error.hint}" if error.hint else ""
                self.problem(error.message + also, tuple(path))
                return None
        return self.profiles[name]

    def prices(self) -> Path | None:
        name = self.manifest.prices
        if name is None:
            return None
        tried = [base / name for base in dict.fromkeys((self.document.path.parent, self.root))]
        path = next((candidate for candidate in tried if outside.is_file(candidate)), None)
        if path is None:
            self.problem(f"there is no price file {' nor '.join(map(str, tried))}", ("prices",))
        return path
