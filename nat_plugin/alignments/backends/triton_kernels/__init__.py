"""The kernels of :mod:`nat_plugin.alignments.backends.triton_backend`, one subject a file.

Importing this package raises ImportError with one sentence where Triton is missing or too old.
"""

from __future__ import annotations

try:
    import triton
    import triton.language as tl
except ImportError as error:
    raise ImportError(
        "Triton is not installed: install the version that your torch asks for (its CUDA builds bring it along)"
    ) from error

if not hasattr(tl, "gather"):
    raise ImportError(f"Triton {triton.__version__} is too old, 3.2 or newer is needed: upgrade torch")
