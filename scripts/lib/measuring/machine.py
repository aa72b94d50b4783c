"""Where and with what a figure was measured: it stands in every results file."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

import nat_plugin
from nat_plugin.processors import cores

_PACKAGES = ("fairseq-fixed", "fairseq", "numpy", "scipy")


def describe_machine(device: str, packages: Sequence[str] = ()) -> dict[str, Any]:
    """CPU or GPU, cores, memory, and the versions of what runs, ``packages`` among it."""
    found = {
        "cpu": _cpu_model(),
        "cores": cores(),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "load_average": os.getloadavg()[0],
        "versions": versions((*packages, *(("triton",) if device == "cuda" else ()))),
    }
    if device == "cuda":
        found["gpu"] = torch.cuda.get_device_name()
        found["cuda"] = torch.version.cuda
    return found


def versions(more: Sequence[str] = ()) -> dict[str, str]:
    """Versions of Python and of the packages that take part, ``more`` of them where they do."""
    found = {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "nat_plugin": nat_plugin.__version__,
    }
    for name in (*_PACKAGES, *more):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def describe_in_words(results: dict[str, Any]) -> str:
    """One line for people, from results with ``machine``, ``threads`` and ``clock``."""
    machine, threads = results["machine"], results["threads"]
    clock = "wall clock" if results["clock"] == "wall" else "CPU time"
    where = machine.get("gpu") or f"{machine['cpu']}, {machine['cores']} cores, {machine['instructions']}"
    what = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    return f"{where}; {threads} thread{'s' if threads > 1 else ''}, {clock}; {machine['system']}; {what}"


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as handle:
            for line in handle:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
