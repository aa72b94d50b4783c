"""How much memory a piece of work takes at its peak, beyond what was held before it.

On CUDA the caching allocator counts. On a CPU the kernel does: the resident set's high-water mark is reset, the work is
done, and what the mark rose above the resident set before is the answer, with everything in it, torch's tensors, a
library's scratch and the C library's own. It is exact only where freed blocks go back to the kernel at once: see the
setting ``return`` in :mod:`benchmarks.malloc`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Optional

import torch

_RESET_HIGH_WATER_MARK = "5"  # what proc(5) wants in /proc/PID/clear_refs


def extra_peak(work: Callable[[], object], device: str = "cpu") -> Optional[int]:
    """Bytes at the peak of ``work`` beyond those held before; None where the system cannot say (not Linux)."""
    work()  # what is made once and kept is not counted
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before
    try:
        with open("/proc/self/clear_refs", "w", encoding="ascii") as handle:
            handle.write(_RESET_HIGH_WATER_MARK)
        held = _status("VmRSS")
        work()
        return _status("VmHWM") - held
    except OSError:
        return None


def _status(field: str) -> int:
    with open("/proc/self/status", encoding="ascii") as handle:
        for line in handle:
            name, _, value = line.partition(":")
            if name == field:
                return int(value.split()[0]) * 1024
    raise OSError(f"/proc/self/status has no {field}")
