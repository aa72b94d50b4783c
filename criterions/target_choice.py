"""Dynamic KD in a criterion's log: what was chosen among the candidate targets."""

from typing import Any, Dict

from fairseq.logging import metrics


def candidate_count(task: Any) -> int:
    """How many candidates the training sentences of a task have; 0 where they have a target only."""
    options = getattr(task, "candidate_options", None)
    return len(options.weights) if options else 0


def choice_log(chosen: Any, count: int) -> Dict[str, Any]:
    """Sums over the batch, under keys that depend on the number of candidates alone.

    Args:
        chosen: :class:`nat_plugin.models.target_choice.ChosenTargets`, or None where there was no choice.
        count: how many candidates the training has.
    """
    keys = ["choices", "candidate_cost", "candidate_regulariser", *(f"chosen_{place + 1}" for place in range(count))]
    if chosen is None:
        return dict.fromkeys(keys, 0.0) if count else {}
    shares = chosen.choice.unsqueeze(1).eq(chosen.choice.new_tensor(range(count))).sum(0)
    sums = [chosen.cost.sum(), chosen.regulariser.sum(), *shares]
    return dict(zip(keys, [float(chosen.choice.numel()), *(value.float() for value in sums)], strict=True))


def reduce_choice(total: Dict[str, float]) -> None:
    """The share of each candidate among the chosen targets, and a chosen target's mean L̂_NAT (nats) and regulariser."""
    choices = total.get("choices")
    if not choices:
        return
    for key, value in total.items():
        if key.startswith(("chosen_", "candidate_")):
            metrics.log_scalar(key, value / choices, choices, round=4)
