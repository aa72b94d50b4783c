"""Several systems in one process, one measure after the other."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from tqdm import tqdm

from scripts.lib.evaluation import Evaluation
from scripts.lib.latency import rows
from scripts.lib.latency.one_by_one import measure_one_by_one, warm_up
from scripts.lib.latency.throughput import measure_throughput
from scripts.lib.latency.translator import Translator, generation_config
from scripts.lib.measuring.machine import describe_machine
from scripts.lib.measuring.memory import PeakMemory

_SMALLEST_BATCH = 512  # tokens, where no sentence is longer
_GIB = 2**30
_SENTENCES_FOR_PASSES = 20


@dataclass(frozen=True)
class Settings:
    """How it is measured; for the meaning of each see ``scripts/benchmark_latency.py --help``."""

    sentences: int
    repeats: int
    block: int
    warm_up: int
    threads: int
    clock: str
    memory_limit_gib: float | None


class Comparison:
    """Measures systems and collects what is found.

    Args:
        planned: the systems, the baseline first.
        command: what was typed.
        measures: those that will be asked for, keys of :data:`scripts.lib.latency.rows.MEASURES`.

    Attributes:
        results: what is saved; grows with each :meth:`run`.
    """

    def __init__(
        self, planned: Sequence[Evaluation], settings: Settings, command: str, measures: Sequence[str]
    ) -> None:
        self._systems = [_System(_first_sentences(entry, settings.sentences)) for entry in planned]
        self._settings = settings
        self._devices: set[str] = set()
        on_gpu = any(rows.device_of(measure) == "cuda" for measure in measures)
        self.results: dict[str, Any] = {
            "command": command,
            "machine": describe_machine("cuda" if on_gpu else "cpu"),
            "settings": asdict(settings),
            "systems": [{"system": entry.system, "measures": {}} for entry in planned],
        }

    def run(self, measure: str) -> None:
        """Measure all systems, and add the figures to the results.

        Raises:
            UserError: a checkpoint or its data cannot be used, or not even the smallest batch fits.
        """
        device = rows.device_of(measure)
        self._set_up(device)
        figures = self._one_by_one(device) if measure.startswith("l1") else self._throughput(device)
        for system, row, found in zip(self._systems, self.results["systems"], figures, strict=True):
            _, scores = system.evaluation.score(system.said)
            row |= {**system.description, "measures": row["measures"]}
            row["measures"][measure] = {
                "bleu": scores.bleu,
                "bleu_signature": scores.signature,
                "brevity_penalty": scores.brevity_penalty,
                "differing_from_first_measure": system.differing(),
                **found,
                "dtype": system.dtype,
                "held_bytes": system.held_bytes,
            }
            row["measures"][measure]["signature"] = rows.signature(measure, row, self.results)

    def _set_up(self, device: str) -> None:
        """What the first load imports and sets up is no system's memory: load one before any is looked at."""
        if device not in self._devices:
            with self._systems[0].on(device):
                self._devices.add(device)

    def _one_by_one(self, device: str) -> list[rows.Row]:
        settings = self._settings
        with ExitStack() as stack:
            loaded = [stack.enter_context(system.on(device)) for system in self._systems]
            sentences = [translator.sentences() for translator in loaded]
            warm_up(loaded, sentences, settings.warm_up)
            total = settings.sentences * len(loaded) * settings.repeats
            with tqdm(total=total, desc=f"L1, {device}", unit=" sentences", disable=None) as progress:
                found = measure_one_by_one(
                    loaded,
                    sentences,
                    repeats=settings.repeats,
                    block=settings.block,
                    device=device,
                    clock=settings.clock,
                    tell=progress.update,
                )
        for system, one in zip(self._systems, found, strict=True):
            system.hear(one.translations)
        return [rows.one_by_one_figures(one, found[0]) for one in found]

    def _throughput(self, device: str) -> list[rows.Row]:
        limit = self._settings.memory_limit_gib
        with tqdm(desc=f"Lmax, {device}", unit=" steps", disable=None) as progress:

            def tell(text: str) -> None:
                progress.set_postfix_str(text)
                progress.update()

            found = measure_throughput(
                [partial(system.on, device) for system in self._systems],
                repeats=self._settings.repeats,
                device=device,
                clock=self._settings.clock,
                smallest=_SMALLEST_BATCH,
                most_bytes=None if limit is None else int(limit * _GIB),
                tell=tell,
            )
        for system, one in zip(self._systems, found, strict=True):
            system.hear([one.translations[number] for number in range(self._settings.sentences)])
        return [rows.throughput_figures(one, found[0]) for one in found]


class _System:
    """One system, and what is known of it since it was last loaded.

    Attributes:
        description: see :func:`scripts.lib.latency.rows.describe_system`.
        dtype, held_bytes: of the latest load.
        said: the latest measure's translations in words, in the order of the split.
    """

    def __init__(self, evaluation: Evaluation) -> None:
        self.evaluation = evaluation
        self.description: rows.Row = {}
        self.dtype = ""
        self.held_bytes: int | None = None
        self.said: list[str] = []
        self._said_first: list[str] = []
        self._words: Callable[[Sequence[int]], str] = str
        self._configs: dict[str, Any] = {}  # device → fairseq's configuration, which takes it a while

    @contextmanager
    def on(self, device: str) -> Iterator[Translator]:
        """The system on a device, and off it again."""
        if device not in self._configs:
            self._configs[device] = generation_config(self.evaluation, device)
        memory = PeakMemory(device)
        gc.collect()
        before = memory.held()
        translator = Translator(deepcopy(self._configs[device]), device, len(self.evaluation.sources))
        gc.collect()
        after = memory.held()
        self.held_bytes = None if before is None or after is None else max(0, after - before)
        self.dtype, self._words = translator.dtype, translator.words
        if not self.description:
            passes = translator.mean_passes(translator.sentences()[:_SENTENCES_FOR_PASSES])
            self.description = rows.describe_system(self.evaluation, translator, passes)
        try:
            yield translator
        finally:
            translator.close()

    def hear(self, translations: Sequence[Sequence[int]]) -> None:
        """Take the translations of a measure."""
        self.said = [self._words(tokens) for tokens in translations]
        self._said_first = self._said_first or self.said

    def differing(self) -> int:
        """How many sentences are not as in the first measure: rounding depends on the batch and the device."""
        return sum(mine != before for mine, before in zip(self.said, self._said_first, strict=True))


def _first_sentences(evaluation: Evaluation, count: int) -> Evaluation:
    """The same system on the first ``count`` sentences."""
    return replace(
        evaluation,
        sources=evaluation.sources[:count],
        references=[lines[:count] for lines in evaluation.references],
        tokenized_references=[lines[:count] for lines in evaluation.tokenized_references],
    )
