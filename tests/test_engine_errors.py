"""What an engine's failure tells a person and the rules."""

from __future__ import annotations

import pytest

from chimera_batch.errors import EngineFailed, EngineWhy, ProviderDown


@pytest.mark.parametrize(
    ("why", "code"), [("no_gpu", 2), ("out_of_memory", 2), ("not_installed", 2), ("crash", 5), ("stalled", 5)]
)
def test_what_may_pass_is_waited_for(why: EngineWhy, code: int) -> None:
    failed = EngineFailed("it does not start", why=why, hint="pip install vllm")
    assert isinstance(failed, ProviderDown)
    assert (failed.exit_code, failed.why, failed.hint, failed.lost) == (code, why, "pip install vllm", False)
