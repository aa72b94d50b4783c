"""How the processes of a training find each other, and what their environment says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

import pytest

from nat_plugin.errors import UserError
from scripts.lib import launch
from scripts.lib.heap import KEEP_FREED_MEMORY


class TestProcesses:
    """How the processes of a training find each other."""

    GPU: ClassVar = {"name": "h200", "device": "cuda", "precision": "bf16", "processes": "auto", "max_tokens": 1}
    CPU: ClassVar = {"name": "cpu", "device": "cpu", "precision": "fp32", "processes": 1, "max_tokens": 1}

    @pytest.fixture(autouse=True)
    def _four_gpus(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(launch, "visible_gpus", lambda: 4)
        monkeypatch.setattr(launch, "cores", lambda: 8)
        for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "GLIBC_TUNABLES", "LD_PRELOAD", *KEEP_FREED_MEMORY):
            monkeypatch.delenv(name, raising=False)

    def test_one_node_takes_every_gpu(self) -> None:
        layout = launch.find_layout(self.GPU, {})
        assert layout.world_size == 4
        assert layout.environment == {}
        [flags] = layout.local
        assert flags["distributed_world_size"] == 4
        assert "distributed_no_spawn" not in flags

    def test_some_of_the_gpus(self) -> None:
        layout = launch.find_layout({**self.GPU, "processes": 1}, {})
        assert layout.world_size == 1
        assert layout.environment == {"CUDA_VISIBLE_DEVICES": "0"}

    def test_processes_of_a_cpu_share_its_cores(self) -> None:
        layout = launch.find_layout({**self.CPU, "processes": 2}, {})
        assert layout.environment == {"OMP_NUM_THREADS": "4", "CUDA_VISIBLE_DEVICES": ""}
        assert [flags["distributed_rank"] for flags in layout.local] == [0, 1]
        assert len({flags["distributed_init_method"] for flags in layout.local}) == 1
        for flags in layout.local:
            assert flags["distributed_backend"] == "gloo"
            assert flags["ddp_backend"] == "legacy_ddp"
            assert flags["distributed_no_spawn"]
            assert flags["load_checkpoint_on_all_dp_ranks"]

    def test_freed_memory_is_kept_where_the_configuration_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        machine = {**self.CPU, "keep_freed_memory": True}
        plain = {"OMP_NUM_THREADS": "8", "CUDA_VISIBLE_DEVICES": ""}
        assert launch.find_layout(machine, {}).environment == {**plain, **KEEP_FREED_MEMORY}
        torchrun = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "2"}
        torchrun |= {"MASTER_ADDR": "node0", "MASTER_PORT": "29500"}
        shared = {**plain, "OMP_NUM_THREADS": "4"}
        assert launch.find_layout(machine, torchrun).environment == {**shared, **KEEP_FREED_MEMORY}
        assert launch.find_layout({**machine, "keep_freed_memory": False}, {}).environment == plain
        # what the user says of malloc stands
        for name, value in {"MALLOC_ARENA_MAX": "1", "LD_PRELOAD": "/usr/lib/libjemalloc.so.2"}.items():
            monkeypatch.setenv(name, value)
            assert launch.find_layout(machine, {}).environment == plain
            monkeypatch.delenv(name)

    def test_kept_memory_is_not_mapped_anew(self) -> None:
        assert _page_faults({}) > 4 * _page_faults(KEEP_FREED_MEMORY)

    def test_torchrun(self) -> None:
        variables = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"}
        layout = launch.find_layout(self.GPU, variables)
        [flags] = layout.local
        assert (layout.world_size, layout.is_first) == (8, False)
        assert flags["distributed_rank"] == 5
        assert flags["device_id"] == 1
        assert flags["distributed_init_method"] == "env://"
        assert launch.find_layout(self.GPU, {**variables, "RANK": "0"}).is_first
        del variables["MASTER_PORT"]
        with pytest.raises(UserError, match="MASTER_PORT"):
            launch.find_layout(self.GPU, variables)

    def slurm(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **variables: str) -> launch.Layout:
        scontrol = tmp_path / "scontrol"
        scontrol.write_text(f"#!{sys.executable}\nprint('first')\nprint('second')\n")
        scontrol.chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
        common = {"SLURM_JOB_ID": "70001", "SLURM_STEP_NODELIST": "[first-second]", "SLURM_STEP_NUM_NODES": "2"}
        return launch.find_layout(self.GPU, {**common, **variables})

    def test_srun_with_a_task_for_each_gpu(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        tasks = {"SLURM_STEP_NUM_TASKS": "8", "SLURM_PROCID": "6", "SLURM_LOCALID": "2"}
        layout = self.slurm(tmp_path, monkeypatch, **tasks)
        [flags] = layout.local
        assert (layout.world_size, layout.is_first) == (8, False)
        assert (flags["distributed_rank"], flags["device_id"]) == (6, 2)
        assert flags["distributed_init_method"] == "tcp://first:30001"

    def test_srun_with_a_task_for_each_node(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        layout = self.slurm(tmp_path, monkeypatch, SLURM_STEP_NUM_TASKS="2", SLURM_PROCID="1", SLURM_LOCALID="0")
        [flags] = layout.local
        assert layout.world_size == 8
        assert flags["distributed_rank"] == 4
        assert "distributed_no_spawn" not in flags


def _page_faults(variables: dict[str, str]) -> int:
    """Of a process that takes and gives back 32 blocks of 48 MiB, one after the other, and writes to each."""
    work = (
        "import resource, torch\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults()\n"
        "for _ in range(32): torch.zeros(12, 2**20).add_(1)\n"
        "print(faults() - before)"
    )
    command = [sys.executable, "-c", work]
    done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    return int(done.stdout)
