"""The wheel holds every module under its one importable name, with and without the links in the checkout."""

from __future__ import annotations

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
        shutil.copytree(ROOT / folder, copy / folder, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.py", "pyproject.toml", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    links = [copy / "nat_plugin/criterions", copy / "nat_plugin/models"]
    assert all(link.is_symlink() for link in links)
    if request.param == "without links":
        for link in links:
            link.unlink()
    return copy


@pytest.mark.end_to_end
def test_wheel_holds_every_module_once(checkout: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", checkout / "out", "."],
        cwd=checkout,
        check=True,
    )
    (wheel,) = (checkout / "out").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        modules = sorted(name for name in archive.namelist() if name.endswith(".py"))
    assert modules == sorted(
        f"{package}/{path.relative_to(ROOT / folder).as_posix()}"
        for folder, package in FOLDERS.items()
        for path in (ROOT / folder).rglob("*.py")
        if not (folder == "nat_plugin" and path.relative_to(ROOT / folder).parts[0] in ("criterions", "models"))
    )
