"""Everything that is shown of chosen sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nat_plugin.errors import UserError
from scripts.lib.evaluation import Evaluation
from scripts.lib.in_process import SplitTranslator
from scripts.lib.report.samples import sentence_bleu
from scripts.lib.sentences.passes import Pass, trace
from scripts.lib.sentences.training import TrainingReader, TrainingView


@dataclass(frozen=True)
class SystemView:
    """What one system makes of a sentence.

    Attributes:
        name: the system's.
        translation: as text.
        bleu: of the sentence, all references, 0 to 100.
        passes: see :func:`scripts.lib.sentences.passes.trace`.
        training: None for an autoregressive model, or a sentence without target.
    """

    name: str
    translation: str
    bleu: float
    passes: Sequence[Pass]
    training: TrainingView | None


@dataclass(frozen=True)
class SentenceView:
    """One sentence.

    Attributes:
        number: from 1, as the lines of the test set.
        source, references: untokenised.
        systems: in the order asked for.
    """

    number: int
    source: str
    references: tuple[str, ...]
    systems: tuple[SystemView, ...]


def check_same_text(evaluations: Sequence[Evaluation]) -> None:
    """Refuse systems that are of several test sets, or of one name.

    Raises:
        UserError: there are such.
    """
    first = evaluations[0]
    for other in evaluations[1:]:
        if (other.sources, other.references) != (first.sources, first.references):
            raise UserError(
                f"'{other.split}' of {other.data.folder} is another text than that of {first.data.folder}: show "
                "systems of one test set."
            )
    names = [evaluation.system for evaluation in evaluations]
    doubled = [name for name in names if names.count(name) > 1]
    if doubled:
        raise UserError(f"two systems are called '{doubled[0]}': show each once.")


def view_sentences(translators: Sequence[SplitTranslator], places: Sequence[int]) -> list[SentenceView]:
    """The sentences at ``places``, from 0, by all systems.

    Raises:
        UserError: a checkpoint or the data cannot be used.
    """
    by_system = [_system_views(translator, places) for translator in translators]
    evaluation = translators[0].evaluation
    return [
        SentenceView(
            number=place + 1,
            source=evaluation.sources[place],
            references=tuple(dict.fromkeys(reference[place] for reference in evaluation.references)),
            systems=tuple(views[number] for views in by_system),
        )
        for number, place in enumerate(places)
    ]


def _system_views(translator: SplitTranslator, places: Sequence[int]) -> list[SystemView]:
    evaluation, inner = translator.evaluation, translator.translator
    samples = {int(sample["id"]): sample for sample in inner.sentences()}
    reader = None
    if hasattr(translator.model, "decode_canvas"):
        device = torch.device(translator.device)
        reader = TrainingReader(evaluation.checkpoint, evaluation.data.folder, evaluation.split, device)
    views = []
    for place in places:
        tokens, passes = trace(inner, samples[place], translator.device)
        [text] = evaluation.as_text([tokens])
        references = [[reference[place]] for reference in evaluation.references]
        [bleu] = sentence_bleu([text], references, evaluation.tokenizer)
        views.append(SystemView(evaluation.system, text, bleu, passes, reader.view(place) if reader else None))
    return views
