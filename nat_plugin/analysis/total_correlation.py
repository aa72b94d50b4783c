"""How much the words of a translation say about each other: conditional total correlation (Huang et al. 2022, §2.3).

C = Σ_i H(y_i | X) - H(Y | X) is what no model whose tokens are independent can learn (Theorem 1). Neither entropy is
known. Each is estimated as the cost of the data under the best model of a family that could be trained (V-entropy, Xu
et al. 2020): the first by a NAT that sees nothing of the target, the second by an autoregressive model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from nat_plugin.padding import length_mask


@dataclass(frozen=True)
class TotalCorrelation:
    """C of a set of sentences, in bits.

    Attributes:
        per_token: Σ of all differences / Σ of all lengths.
        per_token_se: its standard error, over sentences.
        per_sentence: the mean difference of a sentence.
        per_sentence_se: its standard error.
        nat_cost, at_cost: bits a token under either model; their difference is ``per_token``.
        sentences, tokens: how many.
    """

    per_token: float
    per_token_se: float
    per_sentence: float
    per_sentence_se: float
    nat_cost: float
    at_cost: float
    sentences: int
    tokens: int


def sentence_costs(logits: Tensor, tokens: Tensor, lengths: Tensor, never: Tensor) -> Tensor:
    """-log P of each sentence's tokens, where their number is known: [B] float64, nats.

    Each position's distribution is over the tokens that a sentence may hold. Without that, an autoregressive model
    would spend probability on ending the sentence earlier, which a NAT with the right number of slots cannot, and the
    difference of two models would be partly about the length.

    Args:
        logits: [B, n, V], of any floating type.
        tokens: [B, n] int64; what stands beyond ``lengths`` does not matter.
        lengths: [B].
        never: [K] int64, what no sentence holds: end marker, padding and the like.
    """
    lprobs = logits.float().index_fill(-1, never, float("-inf")).log_softmax(-1)
    real = length_mask(lengths, tokens.size(1))
    of_tokens = lprobs.gather(-1, tokens.masked_fill(~real, 0).unsqueeze(-1)).squeeze(-1)
    return -of_tokens.masked_fill(~real, 0.0).double().sum(1)


def total_correlation(nat_costs: Tensor, at_costs: Tensor, lengths: Tensor) -> TotalCorrelation:
    """C from what each sentence costs under either model.

    Tokens of a sentence are not independent, sentences are taken to be. C a token is a ratio of two sums over
    sentences, and its standard error is that of the ratio's linear part (the delta method).

    Args:
        nat_costs, at_costs: [S], nats; see :func:`sentence_costs`.
        lengths: [S], tokens of each sentence.

    Raises:
        ValueError: there are no two sentences.
    """
    count = len(lengths)
    if count < 2:
        raise ValueError("a standard error needs two sentences or more")
    weights = lengths.double()
    differences = (nat_costs.double() - at_costs.double()) / math.log(2)
    tokens = weights.sum()
    ratio = differences.sum() / tokens
    residuals = differences - ratio * weights
    ratio_se = (count / (count - 1) * residuals.square().sum()).sqrt() / tokens
    return TotalCorrelation(
        per_token=float(ratio),
        per_token_se=float(ratio_se),
        per_sentence=float(differences.mean()),
        per_sentence_se=float(differences.std() / math.sqrt(count)),
        nat_cost=float(nat_costs.double().sum() / tokens / math.log(2)),
        at_cost=float(at_costs.double().sum() / tokens / math.log(2)),
        sentences=count,
        tokens=int(tokens),
    )
