"""The pictures of a report, as data that a page carries in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scripts.lib.comparison import Bucket
from scripts.lib.pictures import load_pyplot, plain_text
from scripts.lib.training_log import Curves

_SIZE = (6.4, 3.8)


def embed(svg: bytes) -> str:
    """An SVG file as the address of an image: several of them on one page keep their own names inside."""
    return "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")


def embed_file(path: Path) -> str:
    return embed(path.read_bytes())


def _finish(figure: Any) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    load_pyplot().close(figure)
    return embed(buffer.getvalue())


def draw_curves(curves: Mapping[str, Curves]) -> str:
    """Training and validation loss of each run against its updates."""
    figure, panel = load_pyplot().subplots(figsize=_SIZE, layout="constrained")
    for number, (name, curve) in enumerate(curves.items()):
        for values, style, kind in ((curve.training, ":", "training"), (curve.validation, "-", "validation")):
            updates = sorted(values)
            label = f"{plain_text(name)}, {kind}"
            panel.plot(updates, [values[update] for update in updates], style, color=f"C{number}", label=label)
    panel.set(xlabel="updates", ylabel="loss, bits a predicted word")
    return _with_legend(figure, panel)


def draw_buckets(names: Sequence[str], buckets: Sequence[Bucket]) -> str:
    """BLEU of each system by the length of the reference."""
    figure, panel = load_pyplot().subplots(figsize=_SIZE, layout="constrained")
    for place, name in enumerate(names):
        bleu = [bucket.bleu[place] for bucket in buckets]
        panel.plot([bucket.name for bucket in buckets], bleu, marker="o", label=plain_text(name))
    panel.set(xlabel="words of the reference", ylabel="BLEU")
    return _with_legend(figure, panel)


def _with_legend(figure: Any, panel: Any) -> str:
    panel.grid(alpha=0.3)
    panel.legend(fontsize="x-small")
    return _finish(figure)
