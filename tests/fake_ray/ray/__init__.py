"""As much of Ray as the driver calls, in one process. What goes wrong is told by the manifest's ``flags``."""

from typing import Any

from ray import cloudpickle  # noqa: F401 - part of what is called


def init(**options: Any) -> None:
    assert options["address"] == "local" and options["num_cpus"] >= 6


def cluster_resources() -> dict[str, float]:
    return {"CPU": 8.0, "GPU": 1.0}
