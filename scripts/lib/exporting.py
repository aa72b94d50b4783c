"""A trained run as ONNX files, and whether they say what fairseq-generate says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from nat_plugin.decoding.options import DecodingOptions
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from nat_plugin.serving.graph import EXPORTABLE, OnePassGraph
from nat_plugin.serving.onnx_export import export_onnx, quantise
from nat_plugin.serving.runtime import DESCRIPTION, FP32, INT8, SYMBOLS, OnnxTranslator, Translation
from scripts.lib.generation import Hypothesis
from scripts.lib.latency.translator import Sample, Translates, Translator

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_EXAMPLE = (2, 9)  # sentences and tokens that the graph is traced with
_AT_ONCE = 16  # sentences of a batch in comparisons, as they come: with padding
# Two computations that differ in rounding alone give scores that are so near, nats a token.
_ROUNDING = 1e-3
_NATS = math.log(2)  # of fairseq-generate's printed scores, which are in base 2


def write_export(translator: Translator, folder: Path, *, reduce_range: bool, details: dict[str, Any]) -> None:
    """Write both forms, the symbols and a description, in this order: the last says that the folder is whole.

    Args:
        translator: a one-pass model of ``nat_translation``, on the CPU.
        reduce_range: see :func:`nat_plugin.serving.onnx_export.quantise`.
        details: further entries of the description.

    Raises:
        UserError: the model or its decoding cannot be exported, or what that needs is not installed.
    """
    model, options = translator.models[0], getattr(translator.generator, "options", None)
    if options is None or not hasattr(model, "decode_canvas"):
        raise UserError("only one-pass models of --task nat_translation can be exported: name a run of such a method.")
    source, target = translator.task.source_dictionary, translator.task.target_dictionary
    write_forms(model, source, target, options, folder, reduce_range=reduce_range, details=details)


def write_forms(
    model: Any,
    source: Any,
    target: Any,
    options: DecodingOptions,
    folder: Path,
    *,
    reduce_range: bool,
    details: dict[str, Any] | None = None,
) -> None:
    """As :func:`write_export`, from a model, its dictionaries and the options of its decoding."""
    graph = OnePassGraph(model, target, options)
    description = folder / DESCRIPTION
    description.unlink(missing_ok=True)
    export_onnx(graph, torch.full(_EXAMPLE, source.eos()), folder / FP32)
    quantise(folder / FP32, folder / INT8, reduce_range=reduce_range)
    rows = {
        "source": model.encoder.embed_tokens.weight.size(0),
        "target": model.decoder.embed_tokens.weight.size(0),
    }
    for side, dictionary in (("source", source), ("target", target)):
        with atomic_write(folder / SYMBOLS[side]) as handle:
            handle.writelines(f"{dictionary[index]}\n" for index in range(rows[side]))
    write_json(
        description,
        {
            "longest_source": graph.longest_source,
            "symbols": {"pad": source.pad(), "eos": source.eos(), "unk": source.unk()},
            "decoding": {name: value for name, value in asdict(options).items() if name in EXPORTABLE},
            "reduce_range": reduce_range,
            **(details or {}),
        },
    )


def load_forms(folder: Path, threads: int) -> dict[str, OnnxTranslator]:
    """Both forms, ``fp32`` and ``int8``, ready to translate."""
    return {name: OnnxTranslator(folder, int8=name == "int8", threads=threads) for name in ("fp32", "int8")}


def remove_export(folder: Path) -> None:
    """Delete what :func:`write_export` wrote, and the folder where it is empty then."""
    for name in (DESCRIPTION, FP32, INT8, *SYMBOLS.values()):
        (folder / name).unlink(missing_ok=True)
    if not any(folder.iterdir()):
        folder.rmdir()


class OnnxSystem:
    """An exported model as :class:`scripts.lib.latency.translator.Translates`.

    Args:
        pad: id of padding.
        of: what was exported, with the same sentences.
    """

    def __init__(self, translator: OnnxTranslator, pad: int, of: Translates) -> None:
        self._translator, self._pad, self._of = translator, pad, of

    @property
    def longest(self) -> int:
        """The size of a batch of the longest sentence alone."""
        return self._of.longest

    def translate(self, sample: Sample) -> list[list[int]]:
        """The translation of each sentence, as token ids."""
        return [one.tokens for one in self._translator.translate_ids(source_ids(sample, self._pad))]

    def batches(self, size: int) -> list[Sample]:
        """All sentences in batches of this size."""
        return self._of.batches(size)


def source_ids(sample: Sample, pad: int) -> list[list[int]]:
    """The sentences of a batch without padding and end markers."""
    rows: list[list[int]] = sample["net_input"]["src_tokens"].tolist()
    return [[token for token in row if token != pad][:-1] for row in rows]


def translate_all(translator: OnnxTranslator, sentences: Sequence[Sample], pad: int) -> list[Translation]:
    """Every sentence, several at once.

    Args:
        sentences: one a sample.
    """
    sources = [source_ids(sample, pad)[0] for sample in sentences]
    return [one for chunk in _chunks(sources) for one in translator.translate_ids(chunk)]


def _chunks(sources: list[list[int]]) -> Iterator[list[list[int]]]:
    for first in range(0, len(sources), _AT_ONCE):
        yield sources[first : first + _AT_ONCE]


@dataclass(frozen=True)
class Agreement:
    """How far an exported model says what fairseq-generate says.

    Attributes:
        equal: sentences with the same tokens.
        ties: other tokens, but scores that differ by rounding alone: two tokens, or two lengths, were equally good.
        differing: the ids of all others.
    """

    equal: int
    ties: int
    differing: list[int]


def agreement(
    found: Sequence[Translation], words: Sequence[str], expected: Sequence[Hypothesis], rounding: float = _ROUNDING
) -> Agreement:
    """Compare sentence by sentence.

    Args:
        found, words: of the exported model, with the tokens in words.
        expected: of fairseq-generate.
        rounding: what scores may differ by, nats a token.
    """
    equal, ties, differing = 0, 0, []
    for number, (one, line, hypothesis) in enumerate(zip(found, words, expected, strict=True)):
        if line == hypothesis.tokens:
            equal += 1
        elif abs(one.score - _NATS * hypothesis.score) < rounding:
            ties += 1
        else:
            differing.append(number)
    return Agreement(equal, ties, differing)
