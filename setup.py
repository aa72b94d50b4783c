"""What nat_plugin is made of and what it needs. Tool settings: pyproject.toml; tried versions: constraints.txt."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

# Package -> folder. criterions/ and models/ stand at the top of the repository, and nat_plugin/criterions and
# nat_plugin/models are links to them: left out below, because a copy without links must give the same packages.
FOLDERS = {"nat_plugin": "nat_plugin", "nat_plugin.criterions": "criterions", "nat_plugin.models": "models"}
LINKS = ["criterions", "criterions.*", "models", "models.*"]

OURS = [
    "hydra-core>=1.3,<1.4",
    "numpy",
    "omegaconf>=2.3,<2.4",
    "pyyaml",
    "sacrebleu>=2.0",
    "sacremoses",
    "scipy",
    "sentencepiece",
    "subword-nmt",
    "tabulate",
    "torch>=2.0",
    "tqdm",
]
# What `import fairseq` needs beside these. It is installed without its dependencies (scripts/setup_env.sh says why):
# of those that it declares, cffi, cython and torchaudio are never imported for translation.
FOR_FAIRSEQ = ["bitarray", "regex", "scikit-learn"]


def packages() -> list[str]:
    """Every package with an ``__init__.py``, by its importable name."""
    return [
        name
        for root, folder in FOLDERS.items()
        for name in [root, *(f"{root}.{sub}" for sub in find_packages(folder, exclude=LINKS))]
    ]


def version() -> str:
    """The version that ``nat_plugin.__version__`` states, read without importing it."""
    text = Path("nat_plugin/__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"', text, re.MULTILINE)
    if found is None:
        raise ValueError("nat_plugin/__init__.py states no __version__")
    return found.group(1)


setup(
    name="nat_plugin",
    version=version(),
    description="Non-autoregressive translation for fairseq",
    license="MIT",
    python_requires=">=3.10",
    packages=packages(),
    package_dir=FOLDERS,
    install_requires=OURS + FOR_FAIRSEQ,
    extras_require={
        "fairseq": ["fairseq-fixed==0.12.3.1"],
        "ja": ["sacrebleu[ja]"],
        "lm": ["flashlight-text"],  # beam search for CTC, and KenLM's querying code
        "plots": ["matplotlib"],
        "dev": ["hypothesis", "mypy", "pytest", "pytest-timeout", "ruff"],
    },
)
