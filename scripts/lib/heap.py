"""Freed memory stays with a process that trains on a CPU.

glibc hands a freed block of a megabyte or more back to the kernel, and the next block of that size is made of fresh
pages, zeroed one fault at a time: a training step allocates and frees its logits, their gradients and every layer's
activations, always of about the same sizes. The variables are read when a process starts.
"""

from __future__ import annotations

from collections.abc import Mapping

# Blocks come from one heap that is never trimmed, and that grows by 64 MiB.
KEEP_FREED_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TOP_PAD_": str(2**26),
    "MALLOC_TRIM_THRESHOLD_": str(2**46),
}


def heap_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """What to add to a process's environment; nothing where the user has tuned malloc himself, or taken another one."""
    tuned = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in environment)
    return {} if tuned or "malloc" in environment.get("LD_PRELOAD", "") else dict(KEEP_FREED_MEMORY)
