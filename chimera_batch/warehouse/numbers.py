"""numpy, without the threads that its BLAS starts for products of matrices: a tenth of a second of CPU per command.

DuckDB imports it too, so this comes before the first connection. The variable does not stay: engines are started with
this process's environment, and theirs may be large. Floor 2.
"""

from __future__ import annotations

import os

_THREADS = "OPENBLAS_NUM_THREADS"

_told = os.environ.get(_THREADS)
os.environ.setdefault(_THREADS, "1")
try:
    import numpy
finally:
    if _told is None:
        del os.environ[_THREADS]

__all__ = ["numpy"]
