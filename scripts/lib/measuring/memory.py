"""How much memory a piece of work takes at its peak, beyond what was held before it.

On CUDA the caching allocator counts. On a CPU the kernel does: the resident set's high-water mark is reset, the work is
done, and what the mark rose above the resident set before is the answer, with everything in it, torch's tensors, a
library's scratch and the C library's own. It is exact only where freed blocks go back to the kernel at once: see the
setting ``return`` in :mod:`benchmarks.malloc`. Elsewhere blocks that were freed before the start are given back first
(glibc's ``malloc_trim``), and what the work itself frees and does not give back counts, as it does for the machine.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from typing import Optional

import torch

_RESET_HIGH_WATER_MARK = "5"  # what proc(5) wants in /proc/PID/clear_refs


class PeakMemory:
    """Watches one device.

    Args:
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._on_cuda = device == "cuda"
        self._before: Optional[int] = None

    def held(self) -> Optional[int]:
        """Bytes in use now: the process's resident set, or torch's tensors on the GPU; None where the system cannot say
        (not Linux)."""
        if self._on_cuda:
            torch.cuda.synchronize()
            return torch.cuda.memory_allocated()
        _give_back_freed()
        return _status("VmRSS")

    def start(self) -> None:
        """Count from here on."""
        self._before = self.held()
        if self._on_cuda:
            torch.cuda.reset_peak_memory_stats()
            return
        try:
            with open("/proc/self/clear_refs", "w", encoding="ascii") as handle:
                handle.write(_RESET_HIGH_WATER_MARK)
        except OSError:
            self._before = None

    def rise(self) -> Optional[int]:
        """Bytes at the peak since :meth:`start` beyond those held then; None where the system cannot say."""
        if self._on_cuda:
            torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() if self._on_cuda else _status("VmHWM")
        return None if peak is None or self._before is None else peak - self._before


def extra_peak(work: Callable[[], object], device: str = "cpu") -> Optional[int]:
    """Bytes at the peak of ``work`` beyond those held before; None where the system cannot say (not Linux)."""
    work()  # what is made once and kept is not counted
    gc.collect()
    memory = PeakMemory(device)
    memory.start()
    work()
    return memory.rise()


def available() -> Optional[int]:
    """Bytes of main memory that can be had without swapping; None where the system cannot say (not Linux)."""
    return _field("/proc/meminfo", "MemAvailable")


def _give_back_freed() -> None:
    """Have the C library hand freed blocks back to the kernel, where it can (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _status(name: str) -> Optional[int]:
    return _field("/proc/self/status", name)


def _field(path: str, field: str) -> Optional[int]:
    """A line of kibibytes in one of the kernel's files, as bytes."""
    try:
        with open(path, encoding="ascii") as handle:
            for line in handle:
                name, _, value = line.partition(":")
                if name == field:
                    return int(value.split()[0]) * 1024
    except OSError:
        pass
    return None
