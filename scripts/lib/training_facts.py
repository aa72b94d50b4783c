"""What a training's log says of the training as a whole."""

from __future__ import annotations

import re
from pathlib import Path

from nat_plugin.errors import UserError
from scripts.lib.results import Row
from scripts.lib.training_log import read_curves

_PARAMETERS = re.compile(r"num\. shared model params: ([\d,]+)")
# What each process of a training begins with.
_SESSION = re.compile(r"training on \d+ devices")
# fairseq's clock stays at 0 in a training that goes on, but for its last word, which may be a second behind the clock.
_WALL = re.compile(r'"wall": "(\d+)"|done training in (\d+)')


def training_facts(log: Path) -> Row:
    """Updates, best validation loss, parameters and wall time of a training; nothing where there is no log.

    A log without losses that can be read (``fairseq.log_format=simple``) says the parameters alone.
    """
    if not log.is_file():
        return {}
    text = log.read_text(encoding="utf-8", errors="replace")
    parameters = _PARAMETERS.findall(text)
    facts: Row = {"parameters": int(parameters[-1].replace(",", "")) if parameters else None}
    try:
        curves = read_curves(log)
    except UserError:
        return facts
    return {
        "updates": max([*curves.training, *curves.validation], default=None),
        "best_validation_loss": min(curves.validation.values(), default=None),
        **facts,
        "training_minutes": wall_seconds(text) / 60,
    }


def wall_seconds(log: str) -> int:
    """How long a training took in all: its clock begins anew where it was stopped and continued.

    Args:
        log: fairseq's, of all its sessions one after the other.
    """
    sessions = ([int(clock or end) for clock, end in _WALL.findall(session)] for session in _SESSION.split(log))
    return sum(max(clocks, default=0) for clocks in sessions)
