"""The table of a recipe, ours beside the paper's, as JSON, Markdown and TSV; better rows of earlier runs are kept."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tabulate import tabulate

from nat_plugin.errors import UserError
from nat_plugin.files import atomic_write, write_json
from scripts.lib.reproduce.agreement import Figure, Gap, Order, figure, gap, order
from scripts.lib.reproduce.picture import draw
from scripts.lib.reproduce.recipe import Recipe
from scripts.lib.reproduce.scale import Scale
from scripts.lib.results import Row, read_rows

_SHOWN_PAIRS = 5  # the JSON has all
_TRANSLATED = ("bleu", "tokenized_bleu", "tokenized_bleu_uncased")


def merge(old: Iterable[Row], new: Iterable[Row]) -> tuple[list[Row], list[str]]:
    """Rows of an earlier run and of this one: of two of the same row and seed the one with more updates stays.

    Returns:
        The rows, and a sentence for each that was not replaced.
    """
    merged = {(row["row"], row["seed"]): row for row in old}
    kept = []
    for row in new:
        key = (row["row"], row["seed"])
        before = merged.get(key)
        if before is not None and (before.get("updates") or 0) > (row.get("updates") or 0):
            kept.append(
                f"{row['row']}, seed {row['seed']}: the row of {before['updates']} updates stays, this one has "
                f"{row.get('updates') or 'none'}"
            )
            continue
        merged[key] = row
    return list(merged.values()), kept


def read_table(path: Path) -> dict[str, Any]:
    """What was written before; empty if there is nothing.

    Raises:
        UserError: the file is something else.
    """
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        rows = table["rows"]
        if not all({"row", "seed"} <= row.keys() for row in rows):
            raise KeyError("row")
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is no table of a recipe ({error}): name another --output.") from error
    return dict(table)


class Table:
    """A recipe's rows at one scale, with what follows from them.

    Args:
        rows: of this run; none: what earlier runs left.
        command: that made them.
    """

    def __init__(self, recipe: Recipe, scale: Scale, rows: Sequence[Row], command: str) -> None:
        self.recipe, self.scale = recipe, scale
        old = read_table(self.path)
        self.command = command if rows else old.get("command", command)
        self.rows, self.kept = merge(old.get("rows", ()), rows)
        places = {key: place for place, key in enumerate(recipe.rows)}
        self.rows.sort(key=lambda row: (places.get(row["row"], len(places)), row["seed"]))
        self.by_key: dict[str, list[Row]] = {}
        for row in self.rows:
            self.by_key.setdefault(row["row"], []).append(row)
        self.figures: dict[str, dict[str, Figure]] = {
            measure.name: {key: figure(of_row, measure) for key, of_row in self.by_key.items()}
            for measure in recipe.measures
        }
        orders = (order(self.figures[measure.name], measure.name) for measure in recipe.measures)
        self.orders: list[Order] = [each for each in orders if each is not None]
        before = {(each["first"], each["second"]): each["p_values"] for each in old.get("gaps", ())}
        self.gaps = [self._gap(first, second, before.get((first, second), {})) for first, second in recipe.compare]

    def _gap(self, first: str, second: str, old: Mapping[str, float]) -> Gap:
        principal = self.recipe.measures[0].name
        rows = self.by_key if principal in _TRANSLATED else {}
        return gap(first, second, self.figures[principal], rows, old)

    @property
    def path(self) -> Path:
        """Of the JSON; .md and .tsv lie beside it."""
        return self.scale.results / f"{self.recipe.name}.json"

    def save(self, with_picture: bool = True) -> None:
        """Write all three, and the recipe's picture."""
        write_json(self.path, self.record())
        with atomic_write(self.path.with_suffix(".md")) as handle:
            handle.write(self.markdown())
        with atomic_write(self.path.with_suffix(".tsv")) as handle:
            handle.write(self.tsv())
        if with_picture:
            title = f"ours: {self.scale.raw.name}, {self.scale.size}"
            draw(self.recipe, self.figures, title, self.path.with_suffix(".svg"))

    def pictures(self) -> list[Path]:
        """What was drawn of the recipe, by the table or by its scripts."""
        return sorted(self.path.parent.glob(f"{self.recipe.name}.*svg"))

    def record(self) -> dict[str, Any]:
        """For the JSON."""
        column = self.recipe.paper_column(self.scale.raw.name)
        return {
            "recipe": self.recipe.name,
            "source": self.recipe.source,
            "shows": self.recipe.shows,
            "data": self.scale.raw.name,
            "size": self.scale.size,
            "budget": self.scale.budget,
            "paper_data": None if column is None else self.recipe.data[column],
            "command": self.command,
            "orders": [asdict(each) for each in self.orders],
            "gaps": [asdict(each) for each in self.gaps],
            "rows": self.rows,
        }

    def markdown(self, level: int = 2) -> str:
        """For people.

        Args:
            level: of the heading.
        """
        column = self.recipe.paper_column(self.scale.raw.name)
        beside = f"; the paper's: {self.recipe.data[column]}" if column is not None else ""
        parts = [
            f"{'#' * level} {self.recipe.source}: {self.recipe.shows}",
            f"`{self.command}`: {self.scale.raw.name}, {self.scale.size}, budget {self.scale.budget}{beside}.",
            self.table("pipe"),
            *self.sentences(),
        ]
        if self.gaps:
            parts.append(self.gap_table("pipe"))
        signatures = sorted({row["signature"] for row in self.rows if row.get("signature")})
        parts += [f"Signature: {signature}" for signature in signatures]
        return "\n\n".join(parts) + "\n"

    def table(self, style: str = "simple") -> str:
        """Ours beside the paper's, a line a row."""
        measures = [
            measure
            for measure in self.recipe.measures
            if any(each.ours is not None or each.paper is not None for each in self.figures[measure.name].values())
        ]
        with_paper = {name for name, of_rows in self.figures.items() if _any_paper(of_rows.values())}
        headers = ["row", "updates"]
        for measure in measures:
            headers += [measure.heading, *(["paper"] if measure.name in with_paper else [])]
        body = []
        for key in self.by_key:
            updates = [row["updates"] for row in self.by_key[key] if row.get("updates")]
            line = [self._title(key), str(min(updates)) if updates else "–"]
            for measure in measures:
                each = self.figures[measure.name][key]
                spread = f" ± {measure.show(each.deviation)}" if each.deviation is not None else ""
                line.append(measure.show(each.ours) + spread)
                if measure.name in with_paper:
                    line.append(measure.show(each.paper))
            body.append(line)
        alignment = ("left", *("right",) * (len(headers) - 1))
        return str(tabulate(body, headers, tablefmt=style, colalign=alignment if body else None, disable_numparse=True))

    def sentences(self) -> list[str]:
        """How far the orders agree."""
        headings = {measure.name: measure.heading for measure in self.recipe.measures}
        found = []
        for each in self.orders:
            tau = "not defined" if each.tau is None else f"{each.tau:.2f}"
            p_value = "" if each.p_value is None else f", p = {each.p_value:.3f}"
            shown = [f"{self._title(first)} > {self._title(second)}" for first, second in each.swapped[:_SHOWN_PAIRS]]
            if len(each.swapped) > _SHOWN_PAIRS:
                shown.append(f"{len(each.swapped) - _SHOWN_PAIRS} more pairs")
            swapped = "; ".join(shown)
            more = f"; the paper's {swapped} stand the other way round here" if swapped else ""
            found.append(f"Order by {headings[each.measure]}, {each.rows} rows: Kendall's τ {tau}{p_value}{more}.")
        return found

    def gap_table(self, style: str = "simple") -> str:
        """The gaps of named pairs."""
        show = self.recipe.measures[0].show
        body = [
            [
                f"{self._title(each.first)} − {self._title(each.second)}",
                show(each.ours),
                show(each.paper),
                ", ".join(f"{p_value:.3f}" for p_value in each.p_values.values()) or "–",
                each.verdict,
            ]
            for each in self.gaps
        ]
        headers = [f"gap, {self.recipe.measures[0].heading}", "ours", "paper", "p of ours", ""]
        return str(
            tabulate(body, headers, tablefmt=style, colalign=("left", *("right",) * 3, "left"), disable_numparse=True)
        )

    def _title(self, key: str) -> str:
        return self.recipe.rows[key].title if key in self.recipe.rows else key

    def tsv(self) -> str:
        """A line a row and seed: all measures of ours, and the paper's."""
        text = io.StringIO()
        writer = csv.writer(text, delimiter="\t", lineterminator="\n")
        names = [measure.name for measure in self.recipe.measures]
        writer.writerow(
            ["row", "title", "seed", "updates", *(f"{who}_{name}" for name in names for who in ("ours", "paper"))]
        )
        for row in self.rows:
            line = [row["row"], row["system"], row["seed"], row.get("updates")]
            for measure in self.recipe.measures:
                ours = row.get(measure.name)
                line += [None if ours is None else measure.factor * ours, (row.get("paper") or {}).get(measure.name)]
            writer.writerow(["" if cell is None else cell for cell in line])
        return text.getvalue()


def _any_paper(figures: Iterable[Figure]) -> bool:
    return any(each.paper is not None for each in figures)


def save_all(name: str, tables: Sequence[Table], output: Path) -> None:
    """What a recipe of recipes leaves: NAME.json with the rows of all, and NAME.md with all tables."""
    read_rows(output.with_suffix(".json"))  # something else is refused, not written over
    write_json(output.with_suffix(".json"), [row for table in tables for row in table.rows])
    with atomic_write(output.with_suffix(".md")) as handle:
        handle.write(f"# {name}\n\n" + "\n".join(table.markdown() for table in tables))
