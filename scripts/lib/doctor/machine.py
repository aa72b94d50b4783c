"""Is everything here that trains and translates, and is the fast form of it in use?"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import torch

from nat_plugin.alignments.backends import backend_in_use
from nat_plugin.processors import cores
from scripts.lib.doctor.findings import Finding, good, note, problem
from scripts.lib.machine import detect_machine
from scripts.lib.measuring.machine import versions

# What is imported, what of ours needs it, and how to get it.
_OPTIONAL = (
    ("flashlight.lib.text", "CTC beam search in C++ (--ctc-search flashlight)", "pip install '.[lm]'"),
    ("onnxruntime", "exported models (scripts/export.py)", "pip install '.[onnx]'"),
    ("matplotlib", "plots", "pip install '.[plots]', or give --no-plot"),
)
_LITTLE_SPACE = 5  # GiB: a few checkpoints of transformer-base, with the optimiser's state
_TRIED_TORCH = "2.13"


def examine_machine(folder: Path) -> Iterator[Finding]:
    """Versions, devices, kernels, and the disk that ``folder`` is on."""
    yield good(", ".join(f"{name} {number}" for name, number in versions(("sacrebleu",)).items()))
    if not str(torch.__version__).startswith(_TRIED_TORCH):
        yield note(f"this plugin is tested with torch {_TRIED_TORCH}.", "if something fails, try constraints.txt first")
    yield from _fairseq()
    yield from _devices()
    for module, purpose, remedy in _OPTIONAL:
        if not _is_there(module):
            yield note(f"{module} is not installed: no {purpose}.", remedy)
    free = shutil.disk_usage(folder).free / 2**30
    if free < _LITTLE_SPACE:
        yield note(f"{free:.1f} GiB are free on the disk of {folder.resolve()}.", "free some before a training")


def _fairseq() -> Iterator[Finding]:
    try:
        found = next(f"{name} {version(name)}" for name in ("fairseq-fixed", "fairseq") if _distribution(name))
    except StopIteration:
        yield problem("fairseq is not installed.", "run make setup")
        return
    try:
        importlib.import_module("fairseq.libbleu")
    except ImportError:
        yield note(
            f"{found} was installed without its C extensions: --scoring bleu fails.",
            "use --scoring sacrebleu, as our scripts do, or install it again with a compiler",
        )
    except Exception as error:  # whatever a broken installation raises
        yield problem(f"{found} cannot be imported ({type(error).__name__}: {error}).", "run make setup")


def _devices() -> Iterator[Finding]:
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            properties = torch.cuda.get_device_properties(number)
            yield good(f"GPU {number}: {properties.name}, {properties.total_memory / 2**30:.0f} GiB")
    elif torch.version.cuda:
        yield note(
            f"torch is built for CUDA {torch.version.cuda}, but no GPU can be seen.",
            "look at nvidia-smi and CUDA_VISIBLE_DEVICES",
        )
    else:
        yield note("no GPU: this is torch's CPU build.", "tiny models train here; others want a GPU and its torch")
    yield good(f"scripts/train.py takes machine={detect_machine()} here; {cores()} CPU cores")
    for device in ("cpu", *(("cuda",) if torch.cuda.is_available() else ())):
        name, why = backend_in_use(device)
        if why:
            yield note(
                f"alignments on {device} are computed by torch, several times slower than they could be: {why}.",
                "python setup.py build_ext --inplace, with a C++ compiler" if device == "cpu" else "pip install triton",
            )
        else:
            yield good(f"alignments on {device}: the {name} kernels")


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _distribution(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True
