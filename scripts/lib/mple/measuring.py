"""Every measure of one system, each kept as it comes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from nat_plugin.analysis.mple import bits_per_token, input_cost, refinement_costs
from nat_plugin.decoding.input_sampling import InputSampler, has_input_predictor
from nat_plugin.decoding.reranking import TeacherReranker
from scripts.lib.evaluation import Evaluation
from scripts.lib.generation import displayed_path
from scripts.lib.in_process import SplitTranslator
from scripts.lib.mple.correlation import PEOPLES
from scripts.lib.mple.reader import ProxyBatch, ProxyReader
from scripts.lib.mple.texts import SentenceBleu
from scripts.lib.mple.vanilla import VanillaLogProbs, padded
from scripts.lib.points import PointStore, file_state
from scripts.lib.preparation.again import target_subwords
from scripts.lib.results import Row
from scripts.lib.stages import fingerprint

DEFAULT, SAMPLED = "default", "sampled"
SCORES = ("bleu", "tokenized_bleu", "length_ratio", "repeated_tokens", "empty_outputs", "signature")
"""What is kept of :class:`scripts.lib.scoring.Scores`."""


@dataclass(frozen=True)
class Inputs:
    """What the measures of all systems need.

    Attributes:
        vanilla: checkpoint of the vanilla NAT, and where its log-probabilities are kept; None without.
        teacher: checkpoint of an autoregressive model, for the refinement steps; None without.
        distilled: the teacher's translations of the split, untokenised, and their name; None without.
        max_tokens: of a batch.
        device: where to compute.
    """

    vanilla: tuple[Path, Path] | None
    teacher: Path | None
    distilled: tuple[list[str], str] | None
    max_tokens: int
    device: torch.device


class MpleSystem:
    """One system, and the file of its measures.

    Args:
        evaluation: the system, its decoding and its data.
        inputs: what all systems share.
        points: the file.

    Raises:
        UserError: checkpoint or data cannot be used, or MPLE does not cover the model.
    """

    def __init__(self, evaluation: Evaluation, inputs: Inputs, points: Path) -> None:
        self.evaluation, self._inputs = evaluation, inputs
        self.is_distilled = (evaluation.data.folder / "distill.json").is_file()
        """Whether the training set is a teacher's translations; those of other sets stay people's."""
        targets = None
        if self.is_distilled and inputs.distilled is not None:
            texts, name = inputs.distilled
            targets = (target_subwords(evaluation.data, texts), name)
        self.targets = PEOPLES if targets is None else targets[1]
        """What the proxy targets are made of."""
        self.reader = ProxyReader(
            evaluation.checkpoint,
            evaluation.data.folder,
            evaluation.split,
            max_tokens=inputs.max_tokens,
            device=inputs.device,
            targets=targets,
        )
        self._vanilla: VanillaLogProbs | None = None
        self._store = PointStore(
            points,
            {
                "checkpoint": [displayed_path(evaluation.checkpoint), file_state(evaluation.checkpoint)],
                "data": [displayed_path(evaluation.data.folder), file_state(evaluation.data.folder / "prepare.json")],
                "split": evaluation.split,
                "targets": None if targets is None else list(targets[0]),
                "decoding": evaluation.flags,
                **{
                    name: None if path is None else [displayed_path(path), file_state(path)]
                    for name, path in (("vanilla", inputs.vanilla and inputs.vanilla[0]), ("teacher", inputs.teacher))
                },
            },
        )

    @property
    def predicts_inputs(self) -> bool:
        """Whether there is an input predictor."""
        return has_input_predictor(self.reader.model)

    @property
    def can_sample(self) -> bool:
        """Whether Input Sampling is possible: it takes an input predictor and a vanilla NAT."""
        return self.predicts_inputs and self._inputs.vanilla is not None

    def costs(self, seed: int) -> Row:
        """L_NAT and the parts of L_input for one draw of Z, sums over the split in nats, and the proxy targets."""
        return self._store.get(f"costs seed {seed}", lambda: self._costs(seed))

    def _costs(self, seed: int) -> Row:
        with self._progress(f"draw {seed}") as progress:
            batches = [_counted(batch, progress) for batch in self.reader.draw(seed)]
        found: Row = {
            "l_nat": sum(float(batch.costs.sum()) for batch in batches),
            "tokens": sum(int(batch.lengths.sum()) for batch in batches),
            "revealed": sum(int(batch.lengths.sum() - batch.masked.sum()) for batch in batches),
        }
        places = [place for batch in batches for place in batch.sample["id"].tolist()]
        said = [
            self.reader.words(row[:length])
            for batch in batches
            for row, length in zip(batch.proxy, batch.lengths.tolist(), strict=True)
        ]
        ordered = [words for _, words in sorted(zip(places, said, strict=True))]
        found["proxy_targets"] = self.evaluation.data.text(self.evaluation.data.words(ordered))
        if self.predicts_inputs:
            found |= self._input_parts(batches)
        return found

    def _input_parts(self, batches: Sequence[ProxyBatch]) -> Row:
        """The sums of L_input's parts; without a vanilla NAT there is none for the tokens."""
        values = self.vanilla.of(batches) if self.vanilla is not None else None
        sums = {"masks": 0.0, "tokens_shown": 0.0, "log_q": 0.0}
        for batch in batches:
            assert batch.input_logits is not None
            vanilla = torch.zeros_like(batch.input_logits) if values is None else padded(values, batch)
            cost = input_cost(batch.input_logits, batch.masked, batch.lengths, vanilla, batch.log_q)
            for name, part in zip(sums, (cost.masks, cost.tokens, cost.log_q), strict=True):
                sums[name] += float(part.sum())
        return {**sums, "tokens_shown": sums["tokens_shown"] if values is not None else None}

    @property
    def vanilla(self) -> VanillaLogProbs | None:
        """The vanilla NAT, loaded when first needed."""
        if self._vanilla is None and self._inputs.vanilla is not None:
            checkpoint, folder = self._inputs.vanilla
            self._vanilla = VanillaLogProbs(checkpoint, folder, self.reader.task, self._inputs.device)
        return self._vanilla

    def scores(self, decoding: str, seed: int = 1) -> Row:
        """:data:`SCORES` of the split's translations by one of the two ways of decoding."""
        name = f"scores {decoding}" + (f" seed {seed}" if decoding == SAMPLED else "")
        return self._store.get(name, lambda: self._scores(decoding, seed))

    def _scores(self, decoding: str, seed: int) -> Row:
        flags = self.evaluation.flags
        if decoding == SAMPLED:
            assert self._inputs.vanilla is not None
            vanilla = displayed_path(self._inputs.vanilla[0])
            flags = {**flags, "input_sampling": True, "vanilla_nat": vanilla, "input_sampling_seed": seed}
        translator = SplitTranslator(replace(self.evaluation, flags=flags), max_tokens=self._inputs.max_tokens)
        return translator.scores(SCORES)

    def confidence(self, decoding: str, seed: int = 1) -> float | None:
        """I of Figure 7 in bits a slot; None where log P(Z | X) is not known."""
        if self.reader.revealing.masking != "full" and not self.predicts_inputs:
            return None

        def measure() -> Row:
            sampler = None
            if decoding == SAMPLED:
                assert self.vanilla is not None
                sampler = InputSampler(self.vanilla.model, seed)
            nats, slots = self.reader.confidence(sampler, self.evaluation.flags.get("length_multiplier") or 1.0)
            return {"confidence": bits_per_token(nats, slots)}

        name = f"confidence {decoding}" + (f" seed {seed}" if decoding == SAMPLED else "")
        return float(self._store.get(name, measure)["confidence"])

    def texts_figure(self, name: str, texts: Mapping[str, Any], measure: Callable[[], Mapping[str, Any]]) -> Row:
        """A figure over texts, kept under ``name`` and a digest of those texts that are not the system's own."""
        return self._store.get(f"{name} {fingerprint(texts)[:12]}", measure)

    def steps(self, iterations: int) -> list[Row]:
        """Appendix A's quantity of each pass of mask-predict, as :func:`refinement_steps` gives it."""
        found = self._store.get(f"steps {iterations}", lambda: {"steps": self._steps(iterations)})
        rows: list[Row] = found["steps"]
        return rows

    def _steps(self, iterations: int) -> list[Row]:
        assert self._inputs.teacher is not None
        teacher = TeacherReranker.load(str(self._inputs.teacher), self.reader.task)
        with self._progress(f"{iterations} passes") as progress:
            return refinement_steps(self.reader, teacher, iterations, progress)

    def _progress(self, what: str) -> Any:
        name = f"{self.evaluation.system}, {what}"
        return tqdm(total=len(self.reader.dataset), desc=name, unit=" sentences", disable=None)


def _counted(batch: ProxyBatch, progress: Any) -> ProxyBatch:
    progress.update(len(batch.lengths))
    return batch


@torch.no_grad()
def refinement_steps(reader: ProxyReader, teacher: TeacherReranker, iterations: int, progress: Any) -> list[Row]:
    """What stands in for C_i, the conditional total correlation left at refinement step i (appendix A, Eq. 17).

    C_i = Σ_k H(y_k | X, Y^(i-1)) - H(Y | X, Y^(i-1)). Y^(i-1) is what greedy mask-predict has made of X on a canvas of
    the reference's length, so it follows from X and that length, and given these adds nothing to what is known of Y:
    the second entropy is H(Y | X), for which an ordinary autoregressive model's negative log-likelihood stands, without
    that of the end marker as the length is given. For the first stands the model's own: each slot's by the distribution
    that it has after pass i, that of the pass in which it was last masked. Both are upper bounds of their entropies
    (V-entropies). Their difference is no bound of C_i but an estimate as that of C in the paper's Table 1, of one model
    in place of the best of its family: it also has what this model loses by predicting worse than its inputs allow.

    Args:
        reader: the model and its sentences, with people's targets or a teacher's.
        teacher: the autoregressive model.
        progress: is told of each sentence.

    Returns:
        One row a pass: ``step``, ``masked`` (share of the slots that it predicted), ``nat_bits``, ``at_bits`` and their
        ``difference``, bits a token.
    """
    from nat_plugin.criterions.base import target_batch

    model, symbols = reader.model, reader.symbols
    costs, masked = torch.zeros(iterations, dtype=torch.float64), torch.zeros(iterations, dtype=torch.int64)
    autoregressive, tokens = 0.0, 0
    for sample in reader.batches():
        targets = target_batch(sample["target"], symbols.pad)
        source, source_lengths = sample["net_input"]["src_tokens"], sample["net_input"]["src_lengths"]
        encoder_out = model.encode(source, source_lengths)

        def decode(slots: torch.Tensor, lengths: Any = targets.lengths, encoded: Any = encoder_out) -> torch.Tensor:
            logits: torch.Tensor = model.decode_canvas(slots, lengths, encoded)
            return logits

        found = refinement_costs(
            decode,
            targets.tokens,
            targets.lengths,
            mask_idx=symbols.mask,
            never_predicted=symbols.never_predicted,
            iterations=iterations,
        )
        costs += found.costs.sum(1).cpu()
        masked += found.masked.sum(1).cpu()
        lprobs = teacher.token_log_probs(source, source_lengths, targets.tokens, targets.lengths)
        ends = targets.lengths.unsqueeze(1)
        autoregressive -= float((lprobs.sum(1) - lprobs.gather(1, ends).squeeze(1)).double().sum())
        tokens += int(targets.lengths.sum())
        progress.update(len(targets.lengths))
    at_bits = bits_per_token(autoregressive, tokens)
    return [
        {
            "step": step,
            "masked": count / tokens,
            "nat_bits": bits_per_token(cost, tokens),
            "at_bits": at_bits,
            "difference": bits_per_token(cost, tokens) - at_bits,
        }
        for step, (cost, count) in enumerate(zip(costs.tolist(), masked.tolist(), strict=True), start=1)
    ]


def mean_sentence_bleu(metric: SentenceBleu, texts: Sequence[str], references: Sequence[Sequence[str]]) -> Row:
    """A figure for :meth:`MpleSystem.texts_figure`, with the signature that it was measured by."""
    return {"sentence_bleu": metric.mean(texts, references), "signature": metric.signature}
