"""numpy, without the threads that its BLAS starts for products of matrices: a tenth of a second of CPU per command.

DuckDB imports it too, so this comes before the first connection. The variable does not stay: engines are started with
this process's environment, and their matrices may be large. Floor 2.
"""

from __future__ import annotations

from chimera_batch import settings

with settings.meanwhile("OPENBLAS_NUM_THREADS", "1"):
    import numpy

__all__ = ["numpy"]
