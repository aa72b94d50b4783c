"""The wheel holds every module under its one importable name, with and without the links in the checkout, and the C++
kernels where there is a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = {"nat_plugin": "nat_plugin", "criterions": "nat_plugin/criterions", "models": "nat_plugin/models"}


@pytest.fixture(params=["with links", "without links"])
def checkout(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copy = tmp_path / "checkout"
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.so")
        )
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    links = [copy / "nat_plugin/criterions", copy / "nat_plugin/models"]
    assert all(link.is_symlink() for link in links)
    if request.param == "without links":
        for link in links:
            link.unlink()
    return copy


def files_of_wheel(checkout: Path, **environment: str) -> list[str]:
    """Build the wheel and list what is in it."""
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", checkout / "out", "."],
        cwd=checkout,
        check=True,
        env=os.environ | environment,
    )
    (wheel,) = (checkout / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.end_to_end
def test_wheel_holds_every_module_once(checkout: Path) -> None:
    files = files_of_wheel(checkout)
    kernels = [name for name in files if name.endswith(".so")]
    assert len(kernels) == 1
    assert kernels[0].startswith("nat_plugin/alignments/_kernels.")
    modules = sorted(name for name in files if name.endswith(".py"))
    assert modules == sorted(
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
        if not (folder == "nat_plugin" and path.relative_to(ROOT / folder).parts[0] in ("criterions", "models"))
    )


@pytest.mark.end_to_end
@pytest.mark.parametrize("checkout", ["with links"], indirect=True)
def test_without_a_compiler_the_wheel_has_no_kernels_and_the_torch_backend_says_why(checkout: Path) -> None:
    files = files_of_wheel(checkout, CC="/nowhere/cc", CXX="/nowhere/c++")
    assert not [name for name in files if name.endswith(".so")]
    program = """
import logging, torch
logging.basicConfig(level=logging.INFO)
from nat_plugin.alignments.backends import choose_backend
print(choose_backend(torch.zeros(1)).__name__)
choose_backend(torch.zeros(1), "cpp")
"""
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=checkout,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": "."},
    )
    assert told.stdout.strip() == "nat_plugin.alignments.backends.torch_backend"
    assert told.stderr.count("alignments on cpu: torch backend (cpp: the C++ kernels are not built") == 1
    assert "ValueError: the cpp backend cannot be used: the C++ kernels are not built" in told.stderr


def test_documented_scripts_can_be_started_by_their_name() -> None:
    scripts = [path for path in (ROOT / "scripts").rglob("*.py") if path.read_text(encoding="utf-8").startswith("#!")]
    assert len(scripts) > 10
    assert [str(path) for path in scripts if not os.access(path, os.X_OK)] == []
    silent = [path for path in scripts if "run_main(main)" not in path.read_text(encoding="utf-8")]
    assert silent == [], "a mistake is to be one sentence"
