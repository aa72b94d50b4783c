#!/usr/bin/env python3
"""Train a named configuration with fairseq: teacher or non-autoregressive model, CPU or any number of GPUs.

    scripts/train.py data=multi30k_en_de method=teacher size=small
    scripts/train.py data=multi30k_en_de_kd method=cmlm_axe size=small fairseq.lr=1e-3 fairseq.skip_target_penalty=3
    scripts/train.py data=multi30k_en_de_kd method=vanilla_oaxe size=small budget=cpu_fine_tuning start_from=RUN

Each word is key=value: a choice from configs/ (data, method, size, budget, machine), run=DIRECTORY, start_from=RUN
(whose weights it begins with), or any single value (fairseq.… is a flag of fairseq-train). The same command again goes
on where it stopped; a finished training is only averaged.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib import averaging, launch
from scripts.lib.cli import run_main, shell
from scripts.lib.config import compose_run, to_flags
from scripts.lib.generation import USER_DIR, displayed_path, executable
from scripts.lib.machine import check_machine, plan_batch
from scripts.lib.prepared_data import PreparedData
from scripts.lib.runs import Run
from scripts.lib.starting import check_start, half_checkpoints, start_checkpoint
from scripts.lib.training_log import TrainingLog


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("settings", nargs="+", metavar="key=value", help="data=… and method=… are needed")
    parser.add_argument("--dry-run", action="store_true", help="print the fairseq-train command and stop")
    options = parser.parse_args(arguments)
    config = compose_run(options.settings)
    check_machine(config["machine"])
    check_data(config["data"])
    check_candidates(config["fairseq"].get("target_candidates"))
    layout = launch.find_layout(config["machine"])
    run = Run(Path(config["run"]))
    start = start_checkpoint(config, run)
    commands = build_commands(config, run, layout)
    shown = "\n".join(show_command(command, layout.environment) for command in commands)
    plan = plan_batch(config["batch_tokens"], config["machine"]["max_tokens"], layout.world_size)
    if layout.is_first:
        print(plan.describe(config["batch_tokens"]), file=sys.stderr)
        print(shown, flush=True)
    if options.dry_run:
        return
    if not layout.is_first:
        if work_is_left(run, training_limits(config)):
            follow(commands, run, layout)
        return
    with run.locked():
        run.check_continues(config)
        if start and not run.last_checkpoint.exists():
            check_start(config, start)
        run.write_config(config)
        with atomic_write(run.command_file) as handle:
            handle.write(shown + "\n")
        train(run, layout, commands, training_limits(config))
        average(config["average"], run)


def check_data(data: Mapping[str, Any]) -> None:
    """Refuse a data folder without binarised text or dictionaries.

    Raises:
        UserError: something is missing.
    """
    folder = Path(data["path"])
    source, target = data["source_lang"], data["target_lang"]
    needed = [f"dict.{source}.txt", f"dict.{target}.txt"]
    needed += [f"{split}.{source}-{target}.{side}.idx" for split in ("train", "valid") for side in (source, target)]
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(missing)}: make it with scripts/prepare.py (or scripts/distill.py for data "
            "that end in _kd), or name another folder with data.path=…."
        )


def check_candidates(folders: str | None) -> None:
    """Refuse candidate targets that are not there, before anything is started.

    Raises:
        UserError: a folder is missing.
    """
    for folder in (folders or "").split(os.pathsep):
        if folder and not Path(folder).is_dir():
            raise UserError(
                f"there is no folder {folder} of candidate targets: make it with scripts/distill.py RUN --output "
                f"{folder}, or name those that there are with data.candidates=[DIR,DIR]."
            )


def build_commands(config: Mapping[str, Any], run: Run, layout: launch.Layout) -> list[list[str]]:
    """The fairseq-train command of each process to start here."""
    data, machine = config["data"], config["machine"]
    plan = plan_batch(config["batch_tokens"], machine["max_tokens"], layout.world_size)
    start = start_checkpoint(config, run)
    flags = {
        "user_dir": displayed_path(USER_DIR),
        "source_lang": data["source_lang"],
        "target_lang": data["target_lang"],
        **validation_flags(config),
        **config["fairseq"],
        **{flag: displayed_path(path) for flag, path in half_checkpoints(config).items()},
        "finetune_from_model": displayed_path(start) if start else None,  # read once, when there is no last checkpoint
        "save_dir": displayed_path(run.checkpoints),
        "max_tokens": plan.max_tokens,
        "update_freq": plan.update_freq,
        machine["precision"]: machine["precision"] != "fp32",
        **checkpoint_flags(config["average"], config["fairseq"].get("keep_interval_updates")),
    }
    return [["fairseq-train", displayed_path(data["path"]), *to_flags({**flags, **local})] for local in layout.local]


def checkpoint_flags(chosen: Mapping[str, Any], interval_checkpoints: int | None = None) -> dict[str, Any]:
    """Flags that keep the checkpoints which are averaged at the end, and no others but the best and the last.

    Args:
        chosen: ``average`` of the configuration.
        interval_checkpoints: how many of those of ``fairseq.save_interval_updates`` are kept, -1 for all; by default as
            many as are needed.
    """
    flags: dict[str, Any] = {"best_checkpoint_metric": chosen["metric"]}
    if chosen["metric"] == "bleu":
        flags["maximize_best_checkpoint_metric"] = True
    if chosen["kind"] == "last":
        kept = interval_checkpoints or chosen["count"]
        return {**flags, "keep_last_epochs": chosen["count"], "keep_interval_updates": kept}
    flags |= {"no_epoch_checkpoints": True, "keep_interval_updates": interval_checkpoints or 1}
    if chosen["kind"] == "best":
        flags["keep_best_checkpoints"] = chosen["count"]
    return flags


def validation_flags(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flags that have BLEU measured on the validation set with the run's decoding, where the configuration wants it.

    Raises:
        UserError: the task cannot do that.
    """
    if config["average"]["metric"] != "bleu":
        return {}
    if config["fairseq"]["task"] == "translation_lev":
        raise UserError(
            "average.metric=bleu does not work with fairseq's own translation_lev: use average.metric=loss."
        )
    data = PreparedData.load(Path(config["data"]["path"]))
    return {
        "eval_bleu": True,
        "eval_bleu_args": config["generate"],
        "eval_bleu_remove_bpe": {"bpe": "@@ ", "sentencepiece": "sentencepiece"}.get(data.subword),
        "eval_bleu_detok": "moses" if data.tokenizer == "moses" else "space",
        "eval_bleu_detok_args": {"source_lang": data.source_lang, "target_lang": data.target_lang},
    }


def show_command(command: Sequence[str], environment: Mapping[str, str]) -> str:
    """The command as one would type it."""
    return " ".join([*(f"{name}={value}" for name, value in environment.items()), shell(command)])


def training_limits(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ends a training."""
    return {name: config["fairseq"].get(name) for name in ("max_update", "max_epoch", "patience")}


def work_is_left(run: Run, limits: Mapping[str, Any]) -> bool:
    """Whether the training has not come to its end; says so, or where it goes on.

    Raises:
        UserError: the last checkpoint cannot be read.
    """
    if run.is_finished(limits):
        print(f"{run.folder}: the training is finished.", file=sys.stderr)
        return False
    if not run.last_checkpoint.exists():
        return True
    done = averaging.updates_done(averaging.load_checkpoint(run.last_checkpoint))
    print(f"{run.folder}: going on after {done} updates.", file=sys.stderr)
    # Killed between its last checkpoint and its end: fairseq would add one update more.
    return not (limits["max_update"] and done >= limits["max_update"])


def train(run: Run, layout: launch.Layout, commands: Sequence[Sequence[str]], limits: Mapping[str, Any]) -> None:
    """Train to the end, from the last checkpoint where there is one.

    Raises:
        UserError: fairseq-train failed; the sentence says why.
    """
    run.remove_leftovers()
    if work_is_left(run, limits):
        run.averaged_checkpoint.unlink(missing_ok=True)
        follow(commands, run, layout, limits["max_update"])
    run.mark_finished(limits)


def follow(commands: Sequence[Sequence[str]], run: Run, layout: launch.Layout, max_update: int | None = None) -> None:
    """Run the processes; the first one's output goes to the log and the terminal, the others' to files of their own.

    Raises:
        UserError: one of them failed.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    first_rank = int(layout.local[0].get("distributed_rank", 0))
    log_file = run.log_file if layout.is_first else run.log_file.with_name(f"train.rank{first_rank}.log")
    log = TrainingLog(log_file, max_update)
    processes: list[subprocess.Popen[str]] = []
    try:
        processes.append(launch.start(_program(commands[0]), layout.environment))
        for rank, command in enumerate(commands[1:], start=1):
            with open(run.log_file.with_name(f"train.rank{rank}.log"), "a", encoding="utf-8") as other_log:
                processes.append(launch.start(_program(command), layout.environment, other_log))
        assert processes[0].stdout is not None
        for line in processes[0].stdout:
            log.take(line)
        status = next((process.returncode for process in processes if process.wait()), 0)
    finally:
        launch.stop(processes)
        log.close()
    if status:
        raise UserError(log.explain_failure(status, log_file))


def _program(command: Sequence[str]) -> list[str]:
    return [*executable(command[0]), *command[1:]]


def average(chosen: Mapping[str, Any], run: Run) -> None:
    """Average what the configuration says into ``averaged.pt``, unless that is what it holds.

    Raises:
        UserError: no such checkpoint was kept, or they do not fit together.
    """
    if chosen["kind"] == "none":
        return
    if chosen["kind"] == "best":
        paths = averaging.best_checkpoints(run.checkpoints, chosen["metric"], chosen["count"])
    else:
        paths = averaging.last_checkpoints(run.checkpoints, chosen["count"])
    names = [path.name for path in paths]
    if names and names == run.averaged_from():
        return
    if not paths:
        raise UserError(
            f"{run.checkpoints} holds no checkpoint to average by average.kind={chosen['kind']}: they were removed, so "
            "set average.kind=none, or train again."
        )
    run.averaged_file.unlink(missing_ok=True)  # it must never name other checkpoints than averaged.pt is made of
    averaging.write_average(paths, run.averaged_checkpoint)
    write_json(run.averaged_file, {**chosen, "checkpoints": names})
    print(
        f"averaged {len(paths)} of the {chosen['count']} checkpoints asked for ({', '.join(names)}) -> "
        f"{run.averaged_checkpoint}",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run_main(main)
