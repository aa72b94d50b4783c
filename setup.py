"""What nat_plugin is made of and what it needs. Tool settings: pyproject.toml; tried versions: constraints.txt."""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CCompilerError

# Package -> folder. criterions/ and models/ stand at the top of the repository, and nat_plugin/criterions and
# nat_plugin/models are links to them: left out below, because a copy without links must give the same packages.
FOLDERS = {"nat_plugin": "nat_plugin", "nat_plugin.criterions": "criterions", "nat_plugin.models": "models"}
LINKS = ["criterions", "criterions.*", "models", "models.*"]

OURS = [
    "hydra-core>=1.3,<1.4",
    "jinja2",
    "jmespath",  # where a recipe's figures stand in the results of scripts
    "numpy",
    "omegaconf>=2.3,<2.4",
    "optuna>=5",
    "pyyaml",
    "regex",
    "sacrebleu>=2.0",
    "sacremoses",
    "safetensors",
    "scikit-learn",
    "scipy",
    "sentencepiece",
    "subword-nmt",
    "tabulate",
    "torch>=2.6",  # older ones may run what a checkpoint holds
    "tqdm",
]
# What `import fairseq` needs beside these. It is installed without its dependencies (scripts/setup_env.sh says why):
# of those that it declares, cffi, cython and torchaudio are never imported for translation.
FOR_FAIRSEQ = ["bitarray"]


# The kernels behind the alignments' C++ backend: plain C++17 without torch's headers, so that they build in seconds and
# serve every version of torch. Optional: without a compiler the torch backend does the work, and the log says so.
KERNELS = Extension(
    "nat_plugin.alignments._kernels",
    sources=[f"nat_plugin/alignments/csrc/{name}.cpp" for name in ("axe", "ctc", "module", "rows")],
    depends=[f"nat_plugin/alignments/csrc/{name}.h" for name in ("generations", "numbers", "threads")],
    language="c++",
    # Without the last two gcc does not vectorise comparisons; NaN and infinity keep their meaning.
    extra_compile_args=["-O3", "-std=c++17", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math"],
    optional=True,
)


class BuildKernels(build_ext):
    """With OpenMP's threads where the compiler has them, and with only what makes loops vectors elsewhere."""

    def build_extension(self, ext: Extension) -> None:
        plain = ext.extra_compile_args, ext.extra_link_args
        ext.extra_compile_args, ext.extra_link_args = [*plain[0], "-fopenmp"], [*plain[1], "-fopenmp"]
        try:
            super().build_extension(ext)
        except CCompilerError:
            ext.extra_compile_args, ext.extra_link_args = [*plain[0], "-fopenmp-simd"], plain[1]
            super().build_extension(ext)


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
    ext_modules=[KERNELS],
    cmdclass={"build_ext": BuildKernels},
    extras_require={
        "fairseq": ["fairseq-fixed==0.12.3.1"],
        "ja": ["sacrebleu[ja]"],
        # exporting one-pass models; onnxruntime alone translates with them
        "onnx": ["onnx", "onnxruntime", "onnxscript"],
        "lm": ["flashlight-text"],  # beam search for CTC, and KenLM's querying code
        "plots": ["matplotlib"],
        "slurm": ["submitit"],  # scripts/submit.py
        "zh": ["rjieba"],  # Chinese words: jieba's dictionary and algorithm in a maintained package
        # triton: its interpreter and its compiler test the CUDA kernels where there is no GPU
        "dev": ["hypothesis", "mypy", "pytest", "pytest-timeout", "pytest-xdist", "ruff", "triton"],
    },
)
