"""What a recipe consists of: systems, rows, scripts and where figures stand, as configs/recipes describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from scripts.lib.reproduce.measures import Measure


@dataclass(frozen=True)
class System:
    """What is trained: one training of scripts/train.py.

    Attributes:
        method: a file of configs/method.
        data: ``raw``; ``kd`` or ``kd:SYSTEM``, the translations of the teacher or of another system; ``synthetic_a`` or
            ``synthetic_b``.
        words: further words for scripts/train.py.
        suffix: tells its run from others of the same method and data.
        size: of configs/size, in place of the chosen one.
        width: by how much the dimensions of the chosen size are multiplied.
        start_from: the system whose weights it begins with.
        encoder_from: the system whose encoder it begins with.
        is_shared: it serves all seeds: a teacher.
    """

    name: str
    method: str
    data: str = "raw"
    words: tuple[str, ...] = ()
    suffix: str = ""
    size: str | None = None
    width: float = 1
    start_from: str | None = None
    encoder_from: str | None = None
    is_shared: bool = False


@dataclass(frozen=True)
class Value:
    """Where a figure of a row stands: a place in a JSON file, or the difference or ratio of two.

    Attributes:
        of: a script of the recipe, or a path with placeholders such as ``{test:teacher}``.
        at: a JMESPath expression.
        minus, over: a second expression, in ``second_of`` where that is another file.
    """

    of: str
    at: str
    minus: str | None = None
    over: str | None = None
    second_of: str | None = None


@dataclass(frozen=True)
class RecipeRow:
    """A row of a table.

    Attributes:
        system: what translates; None where all figures come from scripts.
        decode: flags of decoding that win over the run's.
        tune: grids for scripts/tune.py, whose winner decodes.
        values: measure → where it stands, for what is not in the results of a translation.
        paper: measure → the paper's figures, one for each data set of the recipe.
        timed: whether its time is measured, where the recipe measures any.
        trained: the run of what translates, with placeholders, where a script of the recipe has trained it.
    """

    key: str
    title: str
    system: str | None = None
    split: str = "test"
    decode: Mapping[str, Any] = field(default_factory=dict)
    tune: tuple[str, ...] = ()
    values: Mapping[str, Value] = field(default_factory=dict)
    paper: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)
    timed: bool = True
    trained: str = ""


@dataclass(frozen=True)
class Script:
    """One of our scripts that a recipe runs beside trainings and translations.

    Attributes:
        command: words with placeholders, the script first.
        result: the JSON that it writes, with placeholders.
        needs: systems that are trained before, though no placeholder names them.
    """

    name: str
    command: tuple[str, ...]
    result: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Latency:
    """Time of all rows, measured in one process.

    Attributes:
        baseline: the system, or the row, that the others are compared with.
        arguments: further words for scripts/benchmark_latency.py.
    """

    baseline: str = "teacher"
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """How a table is drawn.

    Attributes:
        up: measures; a line each over the rows, as the table has them from above.
        across: one more measure: a point each row in place of lines, of the only measure in ``up`` against this one.
    """

    up: tuple[str, ...]
    across: str | None = None

    @property
    def measures(self) -> tuple[str, ...]:
        """All that it shows."""
        return self.up if self.across is None else (*self.up, self.across)


@dataclass(frozen=True)
class Recipe:
    """A table or figure.

    Attributes:
        source: paper and table.
        shows: what it is about.
        data: the paper's data sets; its figures stand in this order.
        direction: of the languages, where --data does not say.
        scales: data set → the paper's size and budget; under ``""`` those of all others.
        compare: pairs of rows whose gap is looked at.
        picture: of the table; None where there is none, or scripts draw it.
        decode_on: data set → flags of decoding, in place of the rows' own where they have them.
        includes: other recipes that this one consists of.
        begins_as_said: its systems begin with what they say, whatever encoder students begin with elsewhere.
    """

    name: str
    source: str
    shows: str
    data: tuple[str, ...]
    direction: str
    scales: Mapping[str, tuple[str, str]]
    measures: tuple[Measure, ...]
    rows: Mapping[str, RecipeRow]
    scripts: Mapping[str, Script]
    compare: tuple[tuple[str, str], ...] = ()
    latency: Latency | None = None
    picture: Picture | None = None
    decode_on: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    includes: tuple[str, ...] = ()
    begins_as_said: bool = False

    def on(self, data: str) -> Recipe:
        """The recipe as its rows decode on a data set."""
        own = self.decode_on.get(data, {})
        rows = {
            key: replace(row, decode={flag: own.get(flag, value) for flag, value in row.decode.items()})
            for key, row in self.rows.items()
        }
        return replace(self, rows=rows)

    def paper_column(self, data: str) -> int | None:
        """Which of the paper's data sets stands beside ours: the same, or one of the same direction, or the first."""
        if not self.data:
            return None
        if data in self.data:
            return self.data.index(data)
        same = [place for place, name in enumerate(self.data) if name[-6:] == data[-6:]]
        return same[0] if same else 0
