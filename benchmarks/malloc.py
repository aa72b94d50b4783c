"""The C library's treatment of large blocks, which decides how much of a loss's time goes into page faults.

glibc hands a freed block of a megabyte or more back to the kernel, and the next block of that size is made of fresh
pages, zeroed one fault at a time. A logits' gradient of 100 MB costs 25,000 faults so, in every step. The environment
variables below are read when a process starts, so each setting is measured in a process of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.heap import KEEP_FREED_MEMORY

ROOT = Path(__file__).resolve().parents[1]
VARIABLES = ("MALLOC_MMAP_MAX_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "MALLOC_TRIM_THRESHOLD_")
SETTINGS: dict[str, dict[str, str]] = {
    # glibc as it is
    "default": {},
    # nothing goes back to the kernel: blocks come from one heap that is never trimmed
    "keep": KEEP_FREED_MEMORY,
    # everything from 64 KiB on goes back at once: what the resident set holds is what is in use
    "return": {"MALLOC_MMAP_THRESHOLD_": str(2**16)},
}
MEASURED = ("default", "keep")


def current() -> dict[str, str]:
    """The settings of this process."""
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def run_under(setting: str, module: str, arguments: Sequence[str], threads: int) -> Any:
    """Run ``python -m module arguments --output FILE`` in a process with that setting, and read its JSON.

    Args:
        setting: a key of :data:`SETTINGS`.
        threads: of OpenMP and of torch.

    Raises:
        UserError: it failed; it has said why.
    """
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    environment = kept | SETTINGS[setting] | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "part.json"
        command = [sys.executable, "-m", module, *arguments, "--output", str(output)]
        if subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL).returncode:
            raise UserError(f"the measurement with malloc setting {setting} failed: its message stands above.")
        return json.loads(output.read_text(encoding="utf-8"))
