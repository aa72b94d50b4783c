"""The latent variable's part of a criterion's log."""

import math
from typing import Any, Dict

from fairseq.logging import metrics

# nats a position; the usual threshold of "active units" (Burda et al. 2016), here for the KL itself
ACTIVE = 0.01
_DIMENSION = "latent_kl_"


def latent_log(latent: Any, units: Any) -> Dict[str, Any]:
    """Sums over the batch, by fixed keys.

    Args:
        latent: the model's ``LatentTerms``, or None.
        units: [B], what each sentence's costs are weighted with.
    """
    if latent is None:
        return {}
    return {
        "latent_cost": (units * latent.costs.detach()).sum().float(),
        "latent_positions": latent.positions.sum().float(),
        "latent_means": latent.means.float(),
        "latent_squares": latent.squares.float(),
        **{f"{_DIMENSION}{index}": value for index, value in enumerate(latent.divergences.float())},
    }


def reduce_latent(total: Dict[str, float]) -> None:
    """Log what the latent variable says; nothing where there is none.

    ``kl_loss`` is what the loss pays, per target token; ``kl`` is KL(posterior ‖ prior) per source position, both in
    bits. ``latent_mean`` and ``latent_std`` are those of the posterior's means over positions and dimensions.
    ``active_dimensions`` counts the dimensions whose KL is above .01 nats a position. The last two come from the sums
    over everything that is aggregated; they are no averages over batches.
    """
    positions = total.get("latent_positions", 0)
    if not positions:
        return
    units = total["sample_size"]
    if units:
        metrics.log_scalar("kl_loss", total["latent_cost"] / units / math.log(2), units, round=3)
    names = [key for key in total if key.startswith(_DIMENSION)]
    values = positions * len(names)
    metrics.log_scalar("kl", sum(total[key] for key in names) / positions / math.log(2), positions, round=3)
    metrics.log_scalar("latent_mean", total["latent_means"] / values, values, round=3)
    metrics.log_scalar("_latent_square", total["latent_squares"] / values, values)
    metrics.log_derived("latent_std", _standard_deviation)
    for key in names:
        metrics.log_scalar(f"_{key}", total[key] / positions, positions)
    metrics.log_derived("active_dimensions", _active_dimensions)


def _average(meters: Any, key: str) -> float:
    return meters[key].avg or 0.0  # None where nothing came since the last reset


def _standard_deviation(meters: Any) -> float:
    variance = _average(meters, "_latent_square") - _average(meters, "latent_mean") ** 2
    return round(math.sqrt(max(variance, 0.0)), 3)


def _active_dimensions(meters: Any) -> int:
    return sum(_average(meters, key) > ACTIVE for key in meters if key.startswith(f"_{_DIMENSION}"))
