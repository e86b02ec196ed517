"""A person sends a shard again whose batch could not be read, and is at work all the same."""

from __future__ import annotations

from pathlib import Path

from chimera_batch.errors import ProviderRefused
from chimera_batch.verbs import deciding
from tests.support import bench, write_project


def test_a_batch_that_is_given_up_while_it_works_is_cancelled(tmp_path: Path) -> None:
    one = bench(write_project(tmp_path))
    one.go()
    one.host.trouble["state"] = [ProviderRefused("not found", status=404)]
    one.go()
    shard, attempt = one.pairs[0]
    assert attempt.stand == "stuck"
    deciding.resend(one.ctx, shard.id)
    assert one.host.called("cancel") == ["batch-1"], "what it has not begun is saved"
    assert attempt.stand == "dropped"
    assert attempt.suspected == attempt.usd, "what it had begun is not known"
