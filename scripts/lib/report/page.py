"""Everything of a report, and its page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.lib.comparison import Bucket, Significance


@dataclass(frozen=True)
class Sample:
    """One sentence: what was to be translated, how people did, and how each system did."""

    number: int
    """From 1, as the test set's lines."""
    source: str
    references: list[str]
    translations: dict[str, str]
    """By system."""


@dataclass(frozen=True)
class Picture:
    """A plot with what it shows."""

    title: str
    address: str
    """See :func:`scripts.lib.report.figures.embed`."""


@dataclass(frozen=True)
class Report:
    """What is on the page, from top to bottom; an empty part is left out."""

    title: str
    command: str
    facts: dict[str, str]
    """What holds for all systems: test set, sentences, machine."""
    scores: list[dict[str, str]]
    """A line a system, heading → cell."""
    signatures: dict[str, list[str]]
    """Signature → the systems whose BLEU has it."""
    significance: Mapping[str, Significance] = field(default_factory=dict)
    significance_signature: str = ""
    buckets: Sequence[Bucket] = ()
    pictures: Sequence[Picture] = ()
    samples: Sequence[Sample] = ()
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    """Setting → run → value, of the settings in which the runs differ."""
    commands: dict[str, str] = field(default_factory=dict)
    """By system."""


def render(report: Report) -> str:
    """The page as HTML that needs no other file and no network; text is escaped."""
    return render_page(
        "page.html.j2", title=report.title, report=report, names=[row["system"] for row in report.scores]
    )


def render_page(template: str, *folders: Path, title: str, **values: Any) -> str:
    """A page that extends ``base.html.j2``: one look for all, light and dark; text is escaped.

    Args:
        template: its file.
        folders: where it lies, if not here.
        title: of the page.
        values: what it shows.
    """
    environment = Environment(
        loader=FileSystemLoader([*folders, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = _number
    return environment.get_template(template).render(title=title, **values)


def _number(value: Any, decimals: int = 2, sign: bool = False) -> str:
    return f"{value:{'+' if sign else ''}.{decimals}f}"
