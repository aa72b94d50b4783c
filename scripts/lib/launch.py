"""Starts the processes of one fairseq training, on one node or as one node's part of several."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.processors import cores
from scripts.lib.heap import heap_variables
from scripts.lib.machine import visible_gpus


@dataclass(frozen=True)
class Layout:
    """Where this start of the script stands among all processes of the training.

    Attributes:
        world_size: processes of the training, over all nodes.
        local: one dictionary of flags for each process that is to be started here; fairseq itself may fork a process
            into one for each GPU.
        environment: variables each of them needs.
        is_first: whether the process with rank 0 is among them. Only that start of the script writes files.
    """

    world_size: int
    local: list[dict[str, Any]]
    environment: dict[str, str] = field(default_factory=dict)
    is_first: bool = True


def find_layout(machine: Mapping[str, Any], environment: Mapping[str, str] = os.environ) -> Layout:
    """Work out the processes from the machine and from what torchrun or SLURM's srun say.

    Raises:
        UserError: the launcher's variables are incomplete, or the machine does not fit them.
    """
    gpus = 0 if machine["device"] == "cpu" else visible_gpus()
    if "LOCAL_RANK" in environment and "WORLD_SIZE" in environment:
        return _torchrun_layout(environment, machine)
    if int(environment.get("SLURM_STEP_NUM_TASKS", "1")) > 1:
        return _slurm_layout(environment, machine, gpus)
    wanted = machine["processes"]
    processes = (gpus or 1) if wanted == "auto" else int(wanted)
    return _single_node_layout(processes, machine, gpus)


def _single_node_layout(processes: int, machine: Mapping[str, Any], gpus: int) -> Layout:
    if machine["device"] == "cpu":
        variables = _cpu_variables(processes, machine)
        if processes == 1:
            return Layout(1, [{"cpu": True}], variables)
        # fairseq starts one process a GPU by itself but none on a CPU: here they are started one by one.
        address = f"tcp://127.0.0.1:{_free_port()}"
        return Layout(
            processes, [_rank_flags(processes, rank, 0, address, on_cpu=True) for rank in range(processes)], variables
        )
    # Of several visible GPUs fairseq takes all unless told otherwise.
    variables = {} if processes == gpus else {"CUDA_VISIBLE_DEVICES": _first_devices(processes)}
    if processes == 1:
        return Layout(1, [{"distributed_world_size": 1}], variables)
    flags = {
        "distributed_world_size": processes,
        "distributed_init_method": f"tcp://127.0.0.1:{_free_port()}",
        "load_checkpoint_on_all_dp_ranks": True,
    }
    return Layout(processes, [flags], variables)


def _first_devices(count: int) -> str:
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return ",".join(named[:count] if named else [str(index) for index in range(count)])


def _torchrun_layout(environment: Mapping[str, str], machine: Mapping[str, Any]) -> Layout:
    """torchrun started this script once a process."""
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if name not in environment]
    if missing:
        raise UserError(
            f"WORLD_SIZE and LOCAL_RANK are set but {', '.join(missing)} is not: start with torchrun, or unset them."
        )
    world_size, rank = int(environment["WORLD_SIZE"]), int(environment["RANK"])
    on_cpu = machine["device"] == "cpu"
    variables = _cpu_variables(int(environment.get("LOCAL_WORLD_SIZE", "1")), machine) if on_cpu else {}
    if world_size == 1:
        return Layout(1, [{"cpu": True} if on_cpu else {"distributed_world_size": 1}], variables)
    # env://, not the address: torchrun's own store already listens on that port.
    flags = _rank_flags(world_size, rank, int(environment["LOCAL_RANK"]), "env://", on_cpu)
    return Layout(world_size, [flags], variables, is_first=rank == 0)


def _slurm_layout(environment: Mapping[str, str], machine: Mapping[str, Any], gpus: int) -> Layout:
    """srun started this script several times: once a process, or once a node with several GPUs."""
    tasks, rank = int(environment["SLURM_STEP_NUM_TASKS"]), int(environment["SLURM_PROCID"])
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
    port = 10000 + int(environment.get("SLURM_JOB_ID", "0")) % 50000
    address = f"tcp://{_first_slurm_host(environment)}:{port}"
    local_rank = int(environment.get("SLURM_LOCALID", "0"))
    if tasks == nodes and gpus > 1:
        flags = {
            "distributed_world_size": nodes * gpus,
            "distributed_rank": rank * gpus,
            "distributed_init_method": address,
            "load_checkpoint_on_all_dp_ranks": True,
        }
        return Layout(nodes * gpus, [flags], is_first=rank == 0)
    # With one GPU bound to each task every process sees its GPU as number 0.
    device = 0 if gpus == 1 else local_rank
    on_cpu = machine["device"] == "cpu"
    variables = _cpu_variables(max(1, tasks // nodes), machine) if on_cpu else {}
    return Layout(tasks, [_rank_flags(tasks, rank, device, address, on_cpu)], variables, is_first=rank == 0)


def _first_slurm_host(environment: Mapping[str, str]) -> str:
    node_list = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", ""))
    try:
        answer = subprocess.run(
            ["scontrol", "show", "hostnames", node_list], check=True, capture_output=True, text=True
        ).stdout.split()
    except (OSError, subprocess.CalledProcessError) as error:
        raise UserError(
            f"scontrol cannot name the hosts of '{node_list}' ({error}): start with torchrun instead of srun."
        ) from error
    if not answer:
        raise UserError("SLURM names no host for this step: start the script with srun inside the job.")
    return answer[0]


def _rank_flags(world_size: int, rank: int, device: int, address: str, on_cpu: bool) -> dict[str, Any]:
    flags: dict[str, Any] = {
        "distributed_world_size": world_size,
        "distributed_rank": rank,
        "distributed_init_method": address,
        "distributed_no_spawn": True,
        "device_id": 0 if on_cpu else device,
        "load_checkpoint_on_all_dp_ranks": True,  # torch's safe loading refuses what fairseq broadcasts otherwise
    }
    if on_cpu:
        flags |= {"cpu": True, "distributed_backend": "gloo", "ddp_backend": "legacy_ddp"}
    return flags


def _cpu_variables(processes: int, machine: Mapping[str, Any]) -> dict[str, str]:
    """Share the cores unless the user did, and hide GPUs: with one in sight fairseq would use it for communication."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores() // processes))
    heap = heap_variables(os.environ) if machine.get("keep_freed_memory") else {}
    return {"OMP_NUM_THREADS": threads, "CUDA_VISIBLE_DEVICES": "", **heap}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: Sequence[str], environment: Mapping[str, str], log: Any = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start a process that dies with this one, so that a killed script never leaves a training behind.

    Args:
        log: where both its outputs go; by default they can be read from ``.stdout``.
    """
    return subprocess.Popen(
        list(command),
        env={**os.environ, **environment},
        stdout=log,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent,
    )


_PR_SET_PDEATHSIG = 1  # <sys/prctl.h>


def die_with_parent() -> None:
    """Have this process ended when the one that started it is, however that is killed (Linux only)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(processes: Sequence[subprocess.Popen[str]], grace_seconds: float = 10.0) -> None:
    """Ask every process to end, and kill those that do not within ``grace_seconds``."""
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(timeout=grace_seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
