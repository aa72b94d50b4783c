"""One sentence's alignment as a picture: Figures 1 and 3 of Haviv et al. 2021 (matplotlib, the extra ``plots``)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nat_plugin.analysis.monotonic_alignment import Operator
from scripts.lib.alignments.reader import Example
from scripts.lib.pictures import load_pyplot, plain_text, save_figure

_COLOURS = {
    Operator.ALIGN: "C0",
    Operator.CLONE_TARGET: "C2",
    Operator.CLONE_PREDICTION: "C3",
    Operator.DELIMITER: "0.6",
}
_INCHES_A_COLUMN, _INCHES_A_LINE = 0.95, 0.3
_TARGET_HEIGHT = 3.0


def plot_examples(examples: Sequence[Example], path: Path) -> None:
    """A panel a sentence: the target above, its predictions below, a line from each target to what it is held against.

    A prediction's column begins with what the decoder was given and goes on with its most probable tokens, darker where
    they are more probable; what it is held against is framed.

    Args:
        examples: at least one.
        path: an SVG file.
    """
    pyplot = load_pyplot()
    widths = [max(example.explained.alignment.slots, len(example.target)) for example in examples]
    depths = [len(example.predictions[0]) + 2 + _TARGET_HEIGHT for example in examples]
    figure, panels = pyplot.subplots(
        len(examples),
        1,
        figsize=(1.5 + _INCHES_A_COLUMN * max(widths), sum(0.8 + _INCHES_A_LINE * depth for depth in depths)),
        layout="constrained",
        squeeze=False,
        height_ratios=depths,
    )
    for panel, example in zip(panels[:, 0], examples, strict=True):
        _draw(panel, example, max(widths))
    used = {step.operator for example in examples for step in example.explained.alignment.steps}
    handles = [
        pyplot.Line2D([], [], color=colour, label=operator.value)
        for operator, colour in _COLOURS.items()
        if operator in used
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize="small")
    save_figure(figure, path)


def _draw(panel: Any, example: Example, width: int) -> None:
    alignment = example.explained.alignment
    for place, word in enumerate(example.target):
        panel.text(place, _TARGET_HEIGHT, plain_text(word), ha="center", va="bottom", fontsize="small")
    for slot in range(alignment.slots):
        panel.text(slot, 0, plain_text(example.inputs[slot]), ha="center", va="center", fontsize="x-small", color="0.4")
        for line, (token, probability) in enumerate(example.predictions[slot], start=1):
            panel.add_patch(_cell(slot, line, facecolor=(*_RGB, probability), edgecolor="none"))
            panel.text(slot, -line, plain_text(token), ha="center", va="center", fontsize="x-small")
    for step in alignment.steps:
        colour = _COLOURS[step.operator]
        word = "<blank>" if step.target is None else example.target[step.target]
        if step.target is not None:
            panel.plot([step.target, step.slot], [_TARGET_HEIGHT - 0.1, 0.5], color=colour)
        for line, (token, _) in enumerate(example.predictions[step.slot], start=1):
            if token == word:
                panel.add_patch(_cell(step.slot, line, facecolor="none", edgecolor=colour))
    lines = len(example.predictions[0])
    panel.set(xlim=(-0.6, width - 0.4), ylim=(-lines - 0.6, _TARGET_HEIGHT + 0.8))
    panel.set_xticks([])
    panel.set_yticks([_TARGET_HEIGHT + 0.3, 0, -(lines + 1) / 2], ["target", "input", "predictions"], fontsize="small")
    panel.tick_params(left=False)
    panel.spines[:].set_visible(False)
    title = f"sentence {example.place + 1}: {plain_text(' '.join(example.source))}\n{alignment.pattern}"
    panel.set_title(title, fontsize="small", loc="left")


_RGB = (0.55, 0.75, 0.95)


def _cell(slot: int, line: int, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((slot - 0.46, -line - 0.45), 0.92, 0.9, **style)
