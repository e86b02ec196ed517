"""Which GPUs the kernel knows, without a library and without waking one."""

from __future__ import annotations

import re
from pathlib import Path

_NVIDIA = Path("/proc/driver/nvidia/gpus")
_AMD = Path("/sys/class/kfd/kfd/topology/nodes")


def gpus(nvidia: Path = _NVIDIA, amd: Path = _AMD) -> tuple[str, ...]:
    """Their names; empty where there is none, or where a container does not show them."""
    found = [_model(path.read_text("utf-8", "replace")) for path in sorted(nvidia.glob("*/information"))]
    units = [path.read_text("utf-8", "replace") for path in sorted(amd.glob("*/properties"))]
    return (*found, *("AMD GPU" for unit in units if re.search(r"^simd_count [1-9]", unit, re.MULTILINE)))


def _model(information: str) -> str:
    said = re.search(r"^Model:\s*(.+?)\s*$", information, re.MULTILINE)
    return said[1] if said else "NVIDIA GPU"
