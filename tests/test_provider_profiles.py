"""Hosts as data: what is shipped holds together, and what a manifest says about them is checked."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from chimera_batch.endpoints import ENDPOINTS
from chimera_batch.errors import InputError
from chimera_batch.providers import make
from chimera_batch.providers.base import Profile
from chimera_batch.providers.profiles import DIALECTS, builtin, with_overrides

NEW = {"dialect": "openai", "base_url": "https://batch.test/v1", "api_key_env": "TEST_KEY"}


def test_the_hosts_that_are_known() -> None:
    hosted = {profile.name for profile in builtin().values() if not profile.local}
    assert hosted >= {"openai", "anthropic", "groq", "deepinfra", "novita", "doubleword", "dashscope"}


@pytest.mark.parametrize("profile", [p for p in builtin().values() if not p.local], ids=lambda p: p.name)
def test_each_shipped_profile_holds_together(profile: Profile) -> None:
    assert profile.dialect in DIALECTS and profile.base_url.startswith("https://")
    assert profile.endpoints and set(profile.endpoints) <= set(ENDPOINTS)
    assert ("/v1/messages" in profile.endpoints) == (profile.dialect != "openai")
    assert 0 < profile.max_line_bytes <= profile.max_bytes <= 200_000_000
    assert profile.windows[0] == "24h" and (profile.api_key_env.isupper() or profile.dialect == "bedrock")
    assert profile.purpose == "batch" and profile.headers == ()
    assert hash(profile) == hash(replace(profile))


def test_the_limits_that_cost_money_when_wrong() -> None:
    openai, anthropic = builtin()["openai"], builtin()["anthropic"]
    assert (openai.max_requests, openai.max_bytes, openai.batches_per_hour) == (50_000, 190_000_000, 1_900)
    assert openai.keeps_metadata and not openai.distinct_counts and openai.enqueued_tokens is None
    assert (anthropic.max_requests, anthropic.max_bytes) == (100_000, 32_000_000)
    assert anthropic.distinct_counts and not anthropic.keeps_metadata


def test_builtin_gives_a_dict_of_ones_own() -> None:
    builtin().clear()
    assert builtin()


def test_single_fields_are_changed_and_the_rest_kept() -> None:
    base = builtin()["openai"]
    changed = with_overrides(
        base, "openai", {"enqueued_tokens": 2_000_000, "windows": ["24h"], "headers": {"b": "2", "a": "1"}}
    )
    assert changed == replace(base, enqueued_tokens=2_000_000, headers=(("a", "1"), ("b", "2")))
    assert with_overrides(base, "openai", {"batches_per_hour": None}).batches_per_hour is None
    assert with_overrides(base, "mine", {}) == replace(base, name="mine")


def test_a_new_host_gets_cautious_limits() -> None:
    made = with_overrides(None, "mine", NEW)
    assert (made.name, made.dialect, made.base_url) == ("mine", "openai", "https://batch.test/v1")
    assert made.endpoints == ("/v1/chat/completions",) and made.windows == ("24h",)
    assert not made.keeps_metadata and made.max_bytes == 95_000_000 and made.enqueued_tokens is None
    gateway = with_overrides(None, "gw", {**NEW, "dialect": "anthropic", "max_requests": 10})
    assert gateway.endpoints == ("/v1/messages",) and gateway.distinct_counts and gateway.max_requests == 10


@pytest.mark.parametrize("missing", sorted(NEW))
def test_a_new_host_must_say_three_things(missing: str) -> None:
    with pytest.raises(InputError, match=f"provider mine is not built in and does not say {missing}") as caught:
        with_overrides(None, "mine", {k: v for k, v in NEW.items() if k != missing})
    assert caught.value.where == "providers.mine" and caught.value.hint and "dialect:" in caught.value.hint


WRONG: list[tuple[str, Any, str]] = [
    ("max_request", 5, "has no field max_request"),
    ("name", "x", "has no field name"),
    ("discount", 0.5, "has no field discount"),
    ("dialect", "mistral", "must be one of openai, anthropic"),
    ("dialect", ["openai"], "must be text"),
    ("base_url", "batch.test", "must be an http"),
    ("base_url", "", "must be text"),
    ("api_key_env", None, "must be text"),
    ("endpoints", "/v1/messages", "must be a list of text"),
    ("endpoints", [], "must be a list of text"),
    ("windows", [24], "must be a list of text"),
    ("max_requests", 0, "must be a whole number above 0"),
    ("max_requests", True, "must be a whole number above 0"),
    ("max_bytes", "190MB", "must be a whole number above 0"),
    ("max_line_bytes", None, "must be a whole number above 0"),
    ("enqueued_tokens", -1, "above 0, or null"),
    ("keeps_metadata", "yes", "must be true or false"),
    ("headers", ["x"], "must be names with text"),
    ("headers", {"x": 1}, "must be names with text"),
]


@pytest.mark.parametrize(("field", "value", "said"), WRONG)
def test_what_a_manifest_may_not_say(field: str, value: Any, said: str) -> None:
    for base, more in ((builtin()["openai"], {}), (None, NEW)):
        with pytest.raises(InputError, match=said) as caught:
            with_overrides(base, "mine", {**more, field: value})
        assert caught.value.where == f"providers.mine.{field}" and "mine" in caught.value.message


def test_a_slip_of_the_pen_is_recognised() -> None:
    with pytest.raises(InputError) as caught:
        with_overrides(builtin()["openai"], "openai", {"max_request": 5})
    assert caught.value.hint == "did you mean max_requests?"


def test_an_unknown_dialect_has_no_adapter() -> None:
    with pytest.raises(InputError, match="unknown dialect cohere"):
        make(replace(builtin()["openai"], dialect="cohere"), "key")


def test_the_registries_load_no_sdk() -> None:
    code = (
        "import sys, chimera_batch.providers.profiles as p, chimera_batch.endpoints;"
        "p.builtin(); assert not {'openai', 'anthropic', 'httpx2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("name", "window", "said"),
    [
        ("openai", "24h", None),
        ("openai", "now", None),
        ("openai", "flex", None),
        ("openai", "48h", "openai has no window 48h, only 24h (or now)"),
        ("groq", "48h", None),
        ("groq", "flex", "groq has no flex"),
        ("anthropic", "flex", "anthropic has no flex"),
    ],
)
def test_which_windows_a_host_offers(name: str, window: str, said: str | None) -> None:
    assert builtin()[name].lacks(window) == said


def test_the_shortest_beginning_that_is_cached_is_data() -> None:
    assert {profile.cache_from_tokens for profile in builtin().values()} == {1024}
    changed = with_overrides(builtin()["anthropic"], "anthropic", {"cache_from_tokens": 4096})
    assert changed.cache_from_tokens == 4096
    with pytest.raises(InputError, match="cache_from_tokens of provider anthropic must be a whole number above 0"):
        with_overrides(builtin()["anthropic"], "anthropic", {"cache_from_tokens": 0})
