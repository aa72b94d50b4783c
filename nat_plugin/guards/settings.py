"""Training settings that cannot work together: refused before the first update, on the command line and in Hydra."""

from __future__ import annotations

from typing import Any

from nat_plugin.errors import UserError
from nat_plugin.guards.patching import Function, replace
from nat_plugin.guards.precision import check_half_precision


def install() -> None:
    from fairseq.trainer import Trainer

    replace(Trainer, "__init__", _guarded_trainer)


def _guarded_trainer(original: Function) -> Function:
    def __init__(self: Any, cfg: Any, task: Any, *args: Any, **kwargs: Any) -> None:
        check_half_precision(cfg.common)
        _check_groups(cfg)
        _check_metric(cfg, task)
        _check_model(*args[:2])
        _check_averaging(cfg, *args[1:2])
        original(self, cfg, task, *args, **kwargs)

    return __init__


def _check_groups(cfg: Any) -> None:
    """Hydra takes the defaults of these groups from fairseq's own primary configuration, not with another one.

    Raises:
        UserError: one is absent.
    """
    for group, example in (("optimizer", "adam"), ("lr_scheduler", "fixed")):
        if getattr(cfg, group, None) is None:
            raise UserError(f"the configuration has no {group}: add {group}._name={example}, or another one.")


def _check_model(model: Any = None, criterion: Any = None) -> None:
    """Our criterions say which models they train.

    Raises:
        UserError: not this one.
    """
    if hasattr(criterion, "check_model"):
        criterion.check_model(model)


def _check_averaging(cfg: Any, criterion: Any = None) -> None:
    """fairseq hands this flag to its own criterions; others it trains as if it were not there.

    Raises:
        UserError: the gradient is to be a mean over sentences, and the criterion is one of ours.
    """
    from nat_plugin.criterions.common import AlignmentCriterion

    if cfg.optimization.sentence_avg and isinstance(criterion, AlignmentCriterion):
        raise UserError(
            f"--sentence-avg does not go with --criterion {criterion.cfg._name}, whose gradient is a mean over target "
            "tokens: leave the flag out."
        )


def _check_metric(cfg: Any, task: Any) -> None:
    """fairseq would look for the metric after the first validation, hours into the training.

    Raises:
        UserError: the best checkpoint is to be chosen by a BLEU that is not computed, or by the wrong end of it.
    """
    if cfg.checkpoint.best_checkpoint_metric != "bleu" or cfg.dataset.disable_validation:
        return
    if not getattr(task.cfg, "eval_bleu", False):
        raise UserError("--best-checkpoint-metric bleu needs --eval-bleu, which computes it: add that flag.")
    if not cfg.checkpoint.maximize_best_checkpoint_metric:
        raise UserError(
            "--best-checkpoint-metric bleu would keep the worst checkpoint, because fairseq takes the smallest value "
            "as the best: add --maximize-best-checkpoint-metric."
        )
