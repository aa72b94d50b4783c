"""Translating one split with one run, and scoring the translations."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.cli import shell
from scripts.lib.generation import (
    Generation,
    check_complete,
    displayed_path,
    generate_command,
    parse_generate_output,
    run_generate,
)
from scripts.lib.prepared_data import PreparedData
from scripts.lib.results import Row, read_rows
from scripts.lib.scoring import Scores, TokenizedText, bleu_metric, copied_share, default_tokenizer, score
from scripts.lib.trained_model import TrainedModel, found_data
from scripts.lib.training_facts import training_facts

_FAIRSEQ_MAX_TOKENS = 12000  # what fairseq-generate takes when neither --max-tokens nor --batch-size is given


@dataclass(frozen=True)
class Evaluation:
    """One run to be evaluated, with everything that can be wrong checked before the first translation."""

    model: TrainedModel
    data: PreparedData
    checkpoint: Path
    split: str
    system: str
    stem: str
    """Of the files in RUN/results."""
    flags: dict[str, Any]
    """All decoding flags, languages included."""
    tokenizer: str
    sources: list[str]
    references: list[list[str]]
    tokenized_references: list[list[str]]

    @classmethod
    def plan(
        cls,
        folder: Path,
        *,
        split: str = "test",
        data: Path | None = None,
        checkpoint: str | None = None,
        overrides: Mapping[str, Any] | None = None,
        tokenizer: str | None = None,
        name: str | None = None,
        suffix: str | None = None,
        tuned: Path | None = None,
    ) -> Evaluation:
        """Read and check everything about one run.

        Args:
            folder: the run directory, or a checkpoint alone.
            split: which part of the data to translate.
            data: data directory instead of the run's own.
            checkpoint: see :meth:`TrainedModel.checkpoint`.
            overrides: decoding flags that win over the run's.
            tokenizer: sacreBLEU's; by default the target language's.
            name: what to call the system; by default the run's name, with what is not the run's own: checkpoint, data,
                tokenizer, decoding flags.
            suffix: added to the names of the files in RUN/results, so that those of the run's own stay; by default the
                same.
            tuned: see :meth:`TrainedModel.load`.

        Raises:
            UserError: the run, its checkpoint or its data is not there or cannot be used.
        """
        model = TrainedModel.load(folder, tuned)
        path = model.checkpoint(checkpoint)
        prepared = PreparedData.load(data or model.data)
        usual_tokenizer = default_tokenizer(model.target_lang)
        tokenizer = tokenizer or usual_tokenizer
        bleu_metric(tokenizer)
        changes = describe_changes(overrides or {})
        if tokenizer != usual_tokenizer:
            changes.insert(0, f"tokenize={tokenizer}")
        if prepared.folder.resolve() != model.data.resolve():
            changes.insert(0, f"data={prepared.folder.resolve().name}")
        if checkpoint and path != model.checkpoint():
            changes.insert(0, path.name)
        suffix = suffix or "_".join(changes)
        languages = {"source_lang": model.source_lang, "target_lang": model.target_lang}
        return cls(
            model=model,
            data=prepared,
            checkpoint=path,
            split=split,
            system=name or (f"{model.name} ({', '.join(changes)})" if changes else model.name),
            stem=result_stem(split, suffix),
            flags=languages | model.decoding | dict(overrides or {}),
            tokenizer=tokenizer,
            sources=prepared.sources(split),
            references=prepared.references(split),
            tokenized_references=prepared.tokenized_references(split),
        )

    def run(self, threads: int | None = None) -> Row:
        """Translate, score, write RUN/results, and return the row.

        Args:
            threads: processor threads; see :func:`scripts.lib.generation.run_generate`.

        Raises:
            UserError: fairseq-generate failed, or its output is not one translation a sentence.
        """
        generation = self.translate(threads)
        best = [generation.hypotheses[index][0].tokens for index in range(len(self.sources))]
        return self.store(best, generation)

    def stored(self) -> Row | None:
        """The row that :meth:`run` wrote earlier, if of the same flags and data, and younger than the checkpoint."""
        path = self._results / f"{self.stem}.json"
        if not path.is_file() or path.stat().st_mtime < self.checkpoint.stat().st_mtime:
            return None
        rows = read_rows(path)
        return rows[0] if rows and rows[0].get("decoding") == self.flags and self._is_of_these_data(rows[0]) else None

    def _is_of_these_data(self, row: Row) -> bool:
        """Of the same folder: its path in the row is from where that was written."""
        return found_data(Path(row.get("data", "")), self.model.run.folder).resolve() == self.data.folder.resolve()

    def stored_generation(self) -> Generation | None:
        """What :meth:`translate` printed before the row of :meth:`stored` was made of it, if all of it is there."""
        row, log = self.stored(), self._results / f"{self.stem}.log"
        if row is None or not log.is_file():
            return None
        with open(log, encoding="utf-8", newline="\n") as lines:
            hypotheses = parse_generate_output(lines)
        try:
            check_complete(hypotheses, len(self.sources), nbest=self.flags.get("nbest") or 1)
        except UserError:  # a later translation was stopped
            return None
        return Generation(hypotheses, len(hypotheses), row["generation_seconds"], row["threads"])

    @property
    def _results(self) -> Path:
        return self.model.run.folder / "results"

    @property
    def command(self) -> list[str]:
        """The fairseq-generate command that translates with all flags."""
        return generate_command(
            self.data.folder, self.checkpoint, task=self.model.task, flags=self.flags, split=self.split
        )

    def translate(self, threads: int | None = None) -> Generation:
        """Run the command; its output is kept in RUN/results. Raises as :meth:`run`."""
        print(f"$ {shell(self.command)}", flush=True)
        generation = run_generate(
            self.command,
            self._results / f"{self.stem}.log",
            sentences=len(self.sources),
            description=self.system,
            threads=threads,
        )
        check_complete(generation.hypotheses, len(self.sources), nbest=self.flags.get("nbest") or 1)
        return generation

    def store(self, best: Sequence[str], generation: Generation) -> Row:
        """Score one translation a sentence, write RUN/results, and return the row.

        Args:
            best: tokens as the model wrote them, in the order of the split.
            generation: where they come from, for its time.
        """
        text, scores = self.score(best)
        with atomic_write(self._results / f"{self.stem}.hyp.txt") as handle:
            handle.writelines(f"{line}\n" for line in text)
        row = {
            "system": self.system,
            **asdict(scores),
            "ms_per_sentence": generation.ms_per_sentence,
            "copied_sources": copied_share(text, self.sources),
            "split": self.split,
            "method": self.model.method,
            "data": displayed_path(self.data.folder),
            "checkpoint": displayed_path(self.checkpoint),
            "command": shell(self.command),
            "decoding": self.flags,
            **self.training(),
            "generation_seconds": generation.seconds,
            **_machine(self.flags, generation.threads),
        }
        write_json(self._results / f"{self.stem}.json", [row])
        return row

    def training(self) -> Row:
        """What the run's log says of the training; nothing of any checkpoint but the one that it ended in."""
        is_final = self.model.only_checkpoint is None and self.checkpoint == self.model.checkpoint()
        return training_facts(self.model.run.log_file) if is_final else {}

    def as_words(self, best: Sequence[str]) -> list[str]:
        """Tokens as the model wrote them → the prepared words."""
        undone_by_fairseq = self.flags.get("remove_bpe") or self.flags.get("post_process")
        return list(best) if undone_by_fairseq else self.data.words(best)

    def as_text(self, best: Sequence[str]) -> list[str]:
        """Tokens as the model wrote them → text as a person writes it."""
        return self.data.text(self.as_words(best))

    def score(self, best: Sequence[str]) -> tuple[list[str], Scores]:
        """The translations as text, and all figures of them.

        Args:
            best: tokens as the model wrote them, in the order of the split.
        """
        words = self.as_words(best)
        text = self.data.text(words)
        tokenized = TokenizedText(words, self.tokenized_references, are_words=self.data.has_words)
        return text, score(text, self.references, tokenizer=self.tokenizer, tokenized=tokenized)


def describe_changes(overrides: Mapping[str, Any]) -> list[str]:
    """Decoding flags that win over a run's, as they stand in names of systems and files."""
    return [f"{key}={_short(value)}" for key, value in overrides.items()]


def result_stem(split: str, suffix: str | None) -> str:
    """The files' name in RUN/results, without their endings."""
    return f"{split}_{re.sub(r'[^A-Za-z0-9_.+=-]+', '-', suffix)}" if suffix else split


def _short(value: Any) -> Any:
    """A path by its last part: names of systems and files are made of these."""
    return value.rpartition("/")[2] if isinstance(value, str) else value


def _machine(flags: dict[str, Any], threads: int) -> Row:
    """Where and how the translations were made, without which a time means nothing."""
    import torch  # seconds to import: not for --help and wrong flags

    on_gpu = torch.cuda.is_available() and not flags.get("cpu")
    batch_size = flags.get("batch_size")
    return {
        "batch_size": batch_size,
        "max_tokens": flags.get("max_tokens") or (None if batch_size else _FAIRSEQ_MAX_TOKENS),
        "threads": threads,
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "dtype": next((kind for kind in ("fp16", "bf16") if flags.get(kind)), "fp32"),
        "versions": {"nat_plugin": nat_plugin.__version__, "torch": torch.__version__, "fairseq": _fairseq_version()},
    }


def _fairseq_version() -> str:
    for distribution in ("fairseq-fixed", "fairseq"):
        try:
            return f"{distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return "unknown"
