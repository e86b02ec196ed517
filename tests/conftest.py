"""Every test starts with a clean environment and no way out of the machine."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# pytest --hypothesis-profile=thorough: after a change of what the properties are about. How long an example takes says
# more about what else the machine does than about the code.
_TIMELESS: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("quick", max_examples=30, **_TIMELESS)
settings.register_profile("thorough", max_examples=500, **_TIMELESS)
settings.load_profile("quick")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
"""Recordings and public schemas that lie beside a developer's checkout; tests skip where they are absent."""

_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy")
_LEAKY = ("OPENAI_", "ANTHROPIC_", "AWS_", "CHIMERA_", *_PROXIES)
_NUMBERS = itertools.count()
_CIS = (  # the rehearsal's own tests, S3's, and whole runs of which parts are tested elsewhere
    "test_rehearsal_",
    "test_minds_",
    "test_store_s3",
    "test_bad_nights",
    "test_suspected",
    "test_flex",
    "test_caching",
    "test_lengths",
    "test_waves",
    "test_standing",
    "test_content",
    "test_doctoring",
    "test_piloting",
    "test_recalling",
    "test_remembering",
    "test_metering",
    "test_streaming",
    "test_bench_",
    "test_prices_against_package",
    "test_end_to_end_bills",
    "test_end_to_end_reviews",
    "test_spending",
    "test_quoted",
    "test_savings_bench",
    "test_budget_two_runners",
    "test_functions_embedding",
    "test_asking_silence",
    "test_local_runs",
    "test_planning",
    "test_tracing",
    "test_memory_kept",
    "test_taxonomy",
    "test_ordering",
    "test_adding",
    "test_quoting_before",
    "test_placing",
    "test_symbolic",
    "test_chimera_problems",
    "test_trust_sql",
    "test_end_to_end_s3",
    "test_sampling",
    "test_outside",
    "test_store_overlap",
    "test_routing",
    "test_prices_refresh",
    "test_evaluate",
    "test_better_data",
    "test_export",
    "test_contamination",
    "test_difficulty",
    "test_quality",
    "test_analyses",
    "test_ray_jobs",
    "test_ray_end_to_end",
    "test_fallback_",
    "test_laptop",
    "test_engine_server",
    "test_engine_runs",
    "test_engine_orphans",
    "test_notifying",
    "test_joining",
    "test_budget",
    "test_local_",
    "test_short_downloads",
    "test_paper_defects",
    "test_chimera_sql",
    "test_specs",
    "test_pruning",
    "test_rewards",
    "test_answer_checks",
    "test_functions_answers",
    "test_warehouse.py",
    "test_provider_bedrock_runs",
    "test_few",
    "test_down",
    "test_report",
    "test_catalogue",
    "test_ends",
    "test_damages",
    "test_process_nights",
    "test_bad_input",
    "test_cli_terminal",
    "test_resend_running",
)
_LONGEST = (  # half a minute or more, the longest first: a file that began last would be waited for by itself
    "test_every_write.py",
    "test_savings_bench.py",
    "test_end_to_end_paper_scale.py",
    "test_engine_vllm.py",
    "test_laptop_runs.py",
    "test_budget_two_runners.py",
    "test_bad_nights.py",
    "test_two_runners.py",
    "test_readme.py",
    "test_docs.py",
    "test_bench_trust.py",
    "test_damages.py",
    "test_local_vllm.py",  # far from the other real engine, for which it would wait
    "test_waves.py",
    "test_ordering.py",
    "test_end_to_end_s3.py",
    "test_analyses.py",
    "test_piloting.py",
    "test_suspected.py",
    "test_sim.py",
    "test_changes.py",
    "test_cli_end_to_end.py",
    "test_ends.py",
    "test_end_to_end_llmock.py",
)


def _has_slow_tests(path: Path) -> bool:
    return path.name.startswith(_CIS) or "slow" in path.read_text("utf-8")


def pytest_configure() -> None:
    """A suite in the background, or under nohup, would hand on to its processes that SIGINT or SIGHUP is ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What a suite leaves out it does not read either: half of all tests, in every worker."""
    suite, name = config.option.markexpr, collection_path.name
    leave_out = suite == "not slow" and name.startswith(_CIS)
    if suite == "slow" and name.startswith("test_") and collection_path.suffix == ".py":
        leave_out = not _has_slow_tests(collection_path)
    return True if leave_out else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Whole rooms are CI's, so that the fast suite fits a minute: run them with ``-m slow`` after a change there."""
    for item in items:
        if item.path.name.startswith(_CIS):
            item.add_marker(pytest.mark.slow)
    unread = {item.path for item in items if item.get_closest_marker("slow")}
    if lost := sorted(str(path) for path in unread if not _has_slow_tests(path)):
        raise pytest.UsageError(f"the slow suite would not read {', '.join(lost)}: its slow tests are not marked in it")
    if config.option.markexpr == "slow":
        place = {name: number for number, name in enumerate(_LONGEST)}
        items.sort(key=lambda item: place.get(item.path.name, len(place)))


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests' caches and spools lie: one folder for all, so that a pure test costs no folder of its own."""
    return tmp_path_factory.mktemp("machine")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, machine: Path) -> None:
    for name in list(os.environ):
        if name.startswith(_LEAKY):
            monkeypatch.delenv(name)
    here = machine / str(next(_NUMBERS))  # of this test alone; made by whoever uses it
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("CHIMERA_CACHE", str(here / "cache"))
    monkeypatch.setenv("CHIMERA_STATE", str(here / "state"))


@pytest.fixture(autouse=True, scope="session")
def loopback_only() -> Iterator[None]:
    """A test that dials out fails at once instead of hanging or, worse, succeeding."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "localhost", "::1"}:
            raise AssertionError(f"a test tried to reach {address}")
        connect(self, address)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", guarded)
        yield
