"""The runs that an analysis is asked for."""

from __future__ import annotations

import argparse

from scripts.lib.analysis_options import check_names
from scripts.lib.evaluation import Evaluation


def plan_runs(options: argparse.Namespace) -> list[Evaluation]:
    """Read and check everything about each run of an analysis.

    Args:
        options: of :func:`scripts.lib.analysis_options.analysis_parser`, or like them; --set and --name may be missing.

    Raises:
        UserError: a run, its checkpoint or its data cannot be used, or two have one name where each is to have a row.
    """
    evaluations = [
        Evaluation.plan(
            folder,
            split=options.split,
            data=options.data,
            checkpoint=options.checkpoint,
            overrides=vars(options).get("overrides"),
            name=vars(options).get("name"),
        )
        for folder in options.runs
    ]
    if "name" in options:
        check_names(options, (evaluation.system for evaluation in evaluations))
    return evaluations
