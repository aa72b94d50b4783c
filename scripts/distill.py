#!/usr/bin/env python3
"""Make a distilled training set: the teacher's translations take the place of the training targets.

    scripts/distill.py runs/multi30k_en_de/teacher_small

The result (data-bin/multi30k_en_de_kd) is laid out as scripts/prepare.py does; validation and test sets and
dictionaries are the same bytes as the original's. The work is cut into shards, each written once it is whole: the same
command again goes on where it was stopped. Translations that cannot be trained on (empty, far too long, with <unk>, …)
are replaced by the original target and counted in distill.json; replaced.tsv lists them.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: make the repository importable
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from nat_plugin.errors import UserError
from nat_plugin.files import write_json
from nat_plugin.processors import cores
from scripts.lib import distillation
from scripts.lib.binarise import read_binarised
from scripts.lib.cli import run_main, script_parser, shell
from scripts.lib.decoding_arguments import add_checkpoint
from scripts.lib.generation import generate_command
from scripts.lib.machine import visible_gpus
from scripts.lib.parallel_text import sha256
from scripts.lib.parts import Part, find_part
from scripts.lib.prepared_data import PreparedData, read_text
from scripts.lib.shards import ShardPlan, translate_missing
from scripts.lib.stages import exclusive, fingerprint
from scripts.lib.teacher import MAX_LENGTH_EXTRA, MAX_LENGTH_RATIO, TeacherOptions
from scripts.lib.trained_model import TrainedModel

_SHARD_SENTENCES = 500
_MOST_SHARDS = 512
RECORD = "distill.json"


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line.

    Raises:
        UserError: a number is out of range.
    """
    parser = script_parser(__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="the teacher's run directory")
    parser.add_argument(
        "--output", type=Path, metavar="DIR", help="folder to write (default: the teacher's data + _kd)"
    )
    parser.add_argument("--data", type=Path, metavar="DIR", help="data to distil (default: what the teacher saw)")
    parser.add_argument("--split", default="train", help="the split whose targets are replaced (default: train)")
    add_checkpoint(parser)
    parser.add_argument("--beam", type=int, help="beam size (default: the run's generate.beam, 5)")
    parser.add_argument("--lenpen", type=float, help="length penalty (default: the run's generate.lenpen, 1)")
    parser.add_argument(
        "--shards",
        type=int,
        metavar="N",
        help=f"pieces (default: {_SHARD_SENTENCES} sentences each, at most {_MOST_SHARDS})",
    )
    parser.add_argument("--processes", type=int, metavar="P", help="default: one a visible GPU, or else one a core")
    parser.add_argument("--cpu", action="store_true", help="leave GPUs alone")
    parser.add_argument("--fp16", action="store_true", help="half precision (GPU only)")
    parser.add_argument(
        "--max-tokens",
        type=int,
        default=4000,
        metavar="N",
        help="source tokens a batch, padding included (default: 4000)",
    )
    parser.add_argument(
        "--part",
        metavar="K/N",
        help="translate only every N-th shard: one of N such commands on one shared folder, the last of which puts the "
        "shards together (default: what torchrun or srun started this process for, else everything)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the plain fairseq-generate command and stop")
    options = parser.parse_args(arguments)
    for name in ("beam", "shards", "processes", "max_tokens"):
        value = getattr(options, name)
        if value is not None and value < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {value}.")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse_arguments(arguments)
    model = TrainedModel.load(options.run)
    if model.run.read_config()["method"]["kind"] != "autoregressive":
        raise UserError(f"{options.run} is no autoregressive teacher: distil from a run of method=teacher.")
    data = PreparedData.load(options.data or model.data)
    if (data.source_lang, data.target_lang) != (model.source_lang, model.target_lang):
        raise UserError(
            f"{data.folder} is {data.source_lang}-{data.target_lang} but the teacher translates "
            f"{model.source_lang}-{model.target_lang}: name other data with --data."
        )
    output = options.output or beside(data.folder)
    check_output(output, data.folder)
    part = find_part(options.part)
    devices = choose_devices(options, part)
    teacher = teacher_options(options, model, data)
    command = plain_command(teacher, model)
    print(shell(command), flush=True)
    if options.dry_run:
        return
    lock = "lock" if part.is_all else f"lock_{part.number + 1}_of_{part.count}"
    with exclusive(output / distillation.WORK_FOLDER / lock):
        distil(options, part, data, output, teacher, devices, shell(command))


def beside(folder: Path) -> Path:
    """The usual folder of distilled data."""
    named = folder if folder.name else folder.resolve()
    return named.with_name(f"{named.name}_kd")


def check_output(output: Path, data: Path) -> None:
    """What would be written over.

    Args:
        data: the folder of the original data.

    Raises:
        UserError: it is these, or other data that no distillation has made.
    """
    if output.resolve() == data.resolve():
        raise UserError(f"--output {output} is the folder of the original data: name another.")
    is_ours = (output / RECORD).is_file() or (output / distillation.WORK_FOLDER).is_dir()
    if (output / "prepare.json").is_file() and not is_ours:
        raise UserError(f"--output {output} holds other data, which would be written over: name another folder.")


def choose_devices(options: argparse.Namespace, part: Part) -> list[str]:
    """One device a process.

    Raises:
        UserError: more processes than GPUs, or --fp16 without one.
    """
    gpus = 0 if options.cpu else visible_gpus()
    if options.fp16 and not gpus:
        raise UserError("--fp16 needs a CUDA GPU, and none is used here: drop it.")
    if not gpus:
        return ["cpu"] * (options.processes or cores())
    if part.gpu is not None:
        return [f"cuda:{part.gpu if part.gpu < gpus else 0}"]  # a launcher may show each process its own GPU alone
    if options.processes and options.processes > gpus:
        raise UserError(f"--processes {options.processes} but {gpus} GPU(s) are visible: one process needs one GPU.")
    return [f"cuda:{number}" for number in range(options.processes or gpus)]


def teacher_options(options: argparse.Namespace, model: TrainedModel, data: PreparedData) -> TeacherOptions:
    """What decides the translations: flags first, then the run's own decoding options."""
    return TeacherOptions(
        checkpoint=str(model.checkpoint(options.checkpoint)),
        data=str(data.folder),
        split=options.split,
        beam=options.beam or int(model.decoding.get("beam", 5)),
        lenpen=options.lenpen if options.lenpen is not None else float(model.decoding.get("lenpen", 1.0)),
        max_tokens=options.max_tokens,
        fp16=options.fp16,
    )


def search_flags(teacher: TeacherOptions) -> dict[str, Any]:
    """How the teacher searches, as flags of fairseq-generate."""
    return {
        "beam": teacher.beam,
        "lenpen": teacher.lenpen,
        "max_len_a": MAX_LENGTH_RATIO,
        "max_len_b": MAX_LENGTH_EXTRA,
        "max_tokens": teacher.max_tokens,
        "fp16": teacher.fp16,
    }


def plain_command(teacher: TeacherOptions, model: TrainedModel) -> list[str]:
    """The fairseq-generate command that gives the same translations."""
    flags = {
        "source_lang": model.source_lang,
        "target_lang": model.target_lang,
        **search_flags(teacher),
    }
    return generate_command(teacher.data, teacher.checkpoint, task=model.task, flags=flags, split=teacher.split)


def distil(
    options: argparse.Namespace,
    part: Part,
    data: PreparedData,
    output: Path,
    teacher: TeacherOptions,
    devices: list[str],
    command: str,
) -> None:
    """Translate what this part lacks and, once no shard is lacking, write the data folder unless it is there."""
    prefix = data.folder / f"{teacher.split}.{data.source_lang}-{data.target_lang}"
    source = Path(f"{prefix}.{data.source_lang}")
    sentences = read_binarised(source).sentences
    shards = min(sentences, options.shards or min(_MOST_SHARDS, math.ceil(sentences / _SHARD_SENTENCES)))
    settings = describe_settings(teacher, data, source, shards)
    key = fingerprint(settings)
    record = output / RECORD
    plan = ShardPlan(output / distillation.WORK_FOLDER / "shards", key, shards, sentences)
    if _is_done(record, settings):
        shutil.rmtree(plan.folder, ignore_errors=True)  # still there after a kill at the very end
        print(f"{output}: the distilled data are complete.", file=sys.stderr)
        return
    tell_of_other_settings(record, settings, plan)
    record.unlink(missing_ok=True)
    translate_missing(plan, part.pieces(shards), teacher, devices)
    if part.is_all:
        put_together(plan, data, output, teacher, devices, settings, command)
        return
    if unwritten := plan.unwritten():
        print(f"part {part} is translated; {unwritten} of {shards} shards of other parts are missing.", file=sys.stderr)
        return
    with exclusive(output / distillation.WORK_FOLDER / "lock", wait=True):
        if not _is_done(record, settings):  # another part may have ended at the same moment
            put_together(plan, data, output, teacher, devices, settings, command)


def put_together(
    plan: ShardPlan,
    data: PreparedData,
    output: Path,
    teacher: TeacherOptions,
    devices: list[str],
    settings: dict[str, Any],
    command: str,
) -> None:
    """From translated shards to a data folder; the shards are deleted.

    Raises:
        UserError: a shard is damaged, or was made with other settings.
    """
    distilled = distillation.collect(plan, read_text(data.folder / "bpe" / f"{teacher.split}.{data.target_lang}"))
    preprocess = distillation.write_data(data, output, teacher.split, distilled, workers=cores())
    distillation.write_replaced(output / "replaced.tsv", distilled)
    comparison = distillation.compare(data, output, teacher.split, distilled)
    summary = {
        "checkpoint": teacher.checkpoint,
        "settings_key": plan.settings,
        "settings": settings,
        "command": command,
        "preprocess_command": shell(preprocess),
        "sentences": plan.sentences,
        "replaced": distilled.reasons,
        "compared_with_original": comparison,
        "process_seconds": round(distilled.seconds, 1),
        "sentences_per_process_second": round(plan.sentences / distilled.seconds, 2),
        "devices": devices,
        "versions": {name: version(name) for name in ("torch", "sacrebleu")} | {"python": platform.python_version()},
    }
    write_json(output / RECORD, summary)
    shutil.rmtree(plan.folder)
    report(summary, output)


def describe_settings(teacher: TeacherOptions, data: PreparedData, source: Path, shards: int) -> dict[str, Any]:
    """Everything that decides the result, for recognising work that is done already.

    Files count by their content. Shards count, as each is a file; the tokens of a batch do not: they decide about the
    last bits of a sentence's scores alone, and whoever runs out of memory goes on with fewer.
    """
    files = [Path(teacher.checkpoint), source.with_name(source.name + ".bin"), source.with_name(source.name + ".idx")]
    files += [data.folder / f"dict.{language}.txt" for language in (data.source_lang, data.target_lang)]
    files.append(data.folder / "bpe" / f"{teacher.split}.{data.target_lang}")
    return {
        "sha256": {path.name: sha256(path) for path in files},
        "split": teacher.split,
        **{flag: value for flag, value in search_flags(teacher).items() if flag != "max_tokens"},
        "shards": shards,
    }


def tell_of_other_settings(record: Path, settings: dict[str, Any], plan: ShardPlan) -> None:
    """Say what is made again because it was made with another teacher, other data or other flags."""
    if made := _settings_of(record):
        changed = [
            "its teacher or data" if key == "sha256" else f"{key} was {made.get(key)}"
            for key, value in settings.items()
            if made.get(key) != value
        ]
        print(f"{record} is of other settings ({', '.join(changed)}): all is made again.", file=sys.stderr)
    elif others := sum(path.is_file() for path in map(plan.path, range(plan.count))) - plan.count + plan.unwritten():
        print(f"{others} shards in {plan.folder} are of other settings: they are made again.", file=sys.stderr)


def _settings_of(record: Path) -> dict[str, Any]:
    """What finished data were made with; empty where there are none. Those of old name the tokens of a batch."""
    try:
        settings = dict(json.loads(record.read_text(encoding="utf-8"))["settings"])
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    settings.pop("max_tokens", None)
    return settings


def _is_done(record: Path, settings: dict[str, Any]) -> bool:
    return _settings_of(record) == settings


def report(summary: dict[str, Any], output: Path) -> None:
    """Tell the user what was made."""
    comparison = summary["compared_with_original"]
    replaced = ", ".join(f"{count} {reason}" for reason, count in summary["replaced"].items()) or "none"
    print(
        f"{summary['sentences']} sentences, {summary['sentences_per_process_second']} a second and process; "
        f"replaced by the original target: {replaced}\n"
        f"against the original targets: BLEU {comparison['bleu']:.1f} ({comparison['signature']}), length ratio "
        f"{comparison['length_ratio']:.3f}, equal {comparison['equal_to_original']:.1%}\n"
        f"written: {output}\nnext: scripts/train.py data={output} method=cmlm_axe",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run_main(main)
