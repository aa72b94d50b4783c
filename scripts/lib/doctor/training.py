"""Is a run whole and finished, does it go with its data, and is it decoded the way its figures should be?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from nat_plugin.errors import UserError
from scripts.lib.averaging import load_checkpoint, updates_done
from scripts.lib.doctor.findings import Finding, good, note, problem
from scripts.lib.doctor.folder import DataFolder
from scripts.lib.generation import displayed_path
from scripts.lib.trained_model import TrainedModel
from scripts.lib.training_log import Curves, read_curves

_EMBEDDINGS = {  # parameter → which of the two languages its rows count
    "encoder.embed_tokens.weight": 0,
    "decoder.embed_tokens.weight": 1,
    "decoder.output_projection.weight": 1,
}


def examine_run(path: Path, data: DataFolder | None) -> Iterator[Finding]:
    """A run folder, or a checkpoint.

    Args:
        data: what the user names beside it; by default what the run was trained on.
    """
    model = TrainedModel.load(path)
    yield good(f"method {model.method}, {model.source_lang}→{model.target_lang}, trained on {model.data}")
    is_run = model.only_checkpoint is None or model.run.config_file.is_file()
    config = model.run.read_config() if is_run else {}
    try:
        checkpoint = model.checkpoint()
        state = load_checkpoint(checkpoint)
    except UserError as error:
        yield problem(str(error), "train again, or name another checkpoint")
        return
    if is_run:
        yield from _progress(model, config)
        yield from _choice(model, config, checkpoint)
    yield from _numbers(checkpoint, state)
    yield from _losses(model)
    used = data
    if used is None:
        try:
            used = DataFolder.open(model.data)
        except UserError as error:
            yield problem(str(error), "run from the folder that held it in training, or name the data folder first")
            return
    yield from _goes_with(model, state, used)
    if model.task == "nat_translation":
        yield from _distilled(model)
    yield from _decoding(model, state)


def _progress(model: TrainedModel, config: Mapping[str, Any]) -> Iterator[Finding]:
    limit = (config.get("fairseq") or {}).get("max_update")
    last = model.run.last_checkpoint
    if not last.is_file():
        yield note("there is no checkpoint_last.pt: this training cannot be continued.")
        return
    try:
        done = updates_done(load_checkpoint(last))
    except UserError as error:
        yield problem(
            str(error), "remove it and run the training's command again: it goes on from the checkpoint before"
        )
        return
    if model.run.finished_file.is_file():
        yield good(f"finished after {done} updates{_of(limit)}")
    else:
        yield note(f"stopped after {done} updates{_of(limit)}.", "the same scripts/train.py command goes on from there")


def _of(limit: Any) -> str:
    return f" of {limit}" if limit else ""


def _choice(model: TrainedModel, config: Mapping[str, Any], checkpoint: Path) -> Iterator[Finding]:
    """Which checkpoint our scripts take: every paper averages some."""
    averaged = model.run.averaged_from()
    if averaged:
        yield good(f"translated with the mean of {len(averaged)} checkpoints ({', '.join(averaged)})")
        how = config.get("average") or {}
        is_ctc = (config.get("fairseq") or {}).get("criterion") == "nat_ctc"
        if is_ctc and how.get("kind") == "best" and how.get("metric") == "loss":
            yield note(
                "averaged are the best checkpoints by validation loss, and a CTC model goes on gaining BLEU long after "
                "its loss is best.",
                "average.kind=last, as Gu & Kong 2021, or average.metric=bleu",
            )
    else:
        yield note(
            f"translated with {checkpoint.name} alone; the papers average five or more checkpoints.",
            "average.kind=best or last with average.count=5, on a training that keeps so many",
        )


def _numbers(checkpoint: Path, state: Mapping[str, Any]) -> Iterator[Finding]:
    bad = [
        name
        for name, value in state["model"].items()
        if torch.is_tensor(value) and value.is_floating_point() and not bool(value.isfinite().all())
    ]
    if bad:
        yield problem(
            f"{checkpoint.name}: {len(bad)} parameters hold NaN or infinity, {bad[0]} for one.",
            "train again from an earlier checkpoint, with a lower fairseq.lr or longer fairseq.warmup_updates",
        )
    else:
        count = sum(value.numel() for name, value in state["model"].items() if torch.is_tensor(value))
        yield good(f"{checkpoint.name} is whole: {count / 1e6:.1f} million numbers, all finite")


def _losses(model: TrainedModel) -> Iterator[Finding]:
    try:
        curves: Curves = read_curves(model.run.log_file)
    except UserError:
        return  # a checkpoint alone has no log
    if len(curves.validation) < 2:
        return
    last, best = max(curves.validation), min(curves.validation, key=lambda update: curves.validation[update])
    told = f"validation loss {curves.validation[best]:.3f} bits at its best, after {best} updates"
    if curves.validation[last] <= 1.02 * curves.validation[best]:
        yield good(f"{told}; {curves.validation[last]:.3f} at the end")
    else:
        yield note(
            f"{told}, and {curves.validation[last]:.3f} after {last}: the model overfits.",
            "more dropout, more data or distilled data; but CTC's BLEU goes on rising while its loss does too",
        )


def _goes_with(model: TrainedModel, state: Mapping[str, Any], data: DataFolder) -> Iterator[Finding]:
    """Whether the dictionaries of ``data`` are those of the model."""
    if data.languages != (model.source_lang, model.target_lang):
        yield problem(
            f"{data.folder} is {'→'.join(data.languages)}, the model translates "
            f"{model.source_lang}→{model.target_lang}.",
            "name data of the same direction",
        )
        return
    sizes = [len(data.symbols(language)) for language in data.languages]
    for name, side in _EMBEDDINGS.items():
        if name in state["model"]:
            rows = int(state["model"][name].size(0))
            if rows != sizes[side]:
                yield problem(
                    f"{name} has {rows} rows, and dict.{data.languages[side]}.txt of {displayed_path(data.folder)} has "
                    f"{sizes[side]} entries: it is another dictionary, and every word would be mistaken for another.",
                    "name the data folder that the model was trained on, or one made with its dictionaries",
                )
                return
    yield good(f"its vocabulary has the size of {displayed_path(data.folder)}'s dictionaries")
    if model.data.is_dir() and model.data.resolve() != data.folder.resolve():
        own = DataFolder.open(model.data)
        if [own.symbols(language) for language in own.languages] != [
            data.symbols(language) for language in data.languages
        ]:
            yield problem(
                f"the dictionaries of {displayed_path(data.folder)} hold other words than those of {model.data}, which "
                "the model was trained on.",
                f"name {model.data}, or data binarised with its dictionaries",
            )


def _distilled(model: TrainedModel) -> Iterator[Finding]:
    if model.data.is_dir() and not (model.data / "distill.json").is_file():
        yield note(
            "trained on raw text: the papers' figures for one pass are with distilled data, which is worth 4 to 8 "
            "BLEU (Gu & Kong 2021, Table 4).",
            "scripts/distill.py RUN_OF_A_TEACHER, then data=…_kd",
        )


def _decoding(model: TrainedModel, state: Mapping[str, Any]) -> Iterator[Finding]:
    shown = ", ".join(f"{key}={value}" for key, value in model.decoding.items()) or "fairseq's defaults"
    yield good(f"decoded with {shown}")
    predicts_lengths = any(name.startswith("length_predictor.") for name in state["model"])
    if predicts_lengths and not (model.run.folder / "tuned.json").is_file():
        yield note("λ and the number of lengths are not tuned.", "scripts/tune.py RUN length_multiplier")
