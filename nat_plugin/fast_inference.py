"""The same transformer, computed faster once it only translates.

fairseq's attention projects queries, keys and values one after the other and gives masks to the kernel where nothing is
padded; and a linear layer of torch arranges its weights anew for every product, which on a CPU costs more than the
product itself where a batch has few rows. Both are set up once here.
"""

from __future__ import annotations

from typing import Any, Optional

import torch
from fairseq.modules import MultiheadAttention
from torch import Tensor, nn

from nat_plugin.attention import PositionalAttention, attend


def set_up_for_translation_(model: Any) -> None:
    """Take off an encoder-decoder model, in place, what it only trains with, and make its halves fast.

    As :func:`speed_up_`, it leaves a model that can only translate. fairseq's own preparation is never given a beam:
    its trick for keys that the sentences of a beam share mixes up the sentences of a batch.

    Args:
        model: fairseq's, or one of ours, on its device and in evaluation mode.
    """
    model.make_generation_fast_(beamable_mm_beam_size=None, need_attn=False)
    for side in (model.encoder, model.decoder):
        speed_up_(side)


def speed_up_(side: nn.Module) -> None:
    """Replace the attention and the linear layers of an encoder or decoder by faster ones, in place.

    For translation alone: afterwards there is no training, no saving, no other device or precision.

    Args:
        side: with fairseq's transformer layers; a decoder that is not asked to decode incrementally.
    """
    for module in list(side.modules()):
        for name, child in module.named_children():
            if isinstance(child, MultiheadAttention) and _is_plain(child):
                setattr(module, name, InferenceAttention(child))
    if not _can_pack(side):
        return
    for module in list(side.modules()):
        for name, child in module.named_children():
            if type(child) is nn.Linear:
                setattr(module, name, PackedLinear(child))


class InferenceAttention(nn.Module):
    """What fairseq's :class:`MultiheadAttention` or :class:`PositionalAttention` computes, without dropout and without
    returning its weights."""

    def __init__(self, attention: Any) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        q, k, v = attention.q_proj, attention.k_proj, attention.v_proj
        self.is_self_attention: bool = attention.self_attention
        self.is_positional = isinstance(attention, PositionalAttention)
        if self.is_self_attention:
            self.qkv_proj = _joined(q, k, v)
        elif self.is_positional:
            self.qk_proj, self.v_proj = _joined(q, k), v
        else:
            self.q_proj, self.kv_proj = q, _joined(k, v)
        self.out_proj = attention.out_proj

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Optional[Tensor] = None,
        attn_mask: Optional[Tensor] = None,
        **unused: Any,
    ) -> tuple[Tensor, None]:
        """Attend.

        Args:
            query: [T, B, D].
            key, value: [S, B, D], the same tensor; for self-attention the query again. Positional attention has the
                same query and key [T, 1, D], and the value [T, B, D].
            key_padding_mask: [B, S] bool, True at padding.
            attn_mask: [T, S], added to the scores.
        """
        if self.is_self_attention:
            q, k, v = self.qkv_proj(query).chunk(3, -1)
        elif self.is_positional:
            q, k = self.qk_proj(query).expand(-1, value.size(1), -1).chunk(2, -1)
            v = self.v_proj(value)
        else:
            q, (k, v) = self.q_proj(query), self.kv_proj(key).chunk(2, -1)
        attended = attend(q, k, v, heads=self.num_heads, padding=key_padding_mask, attn_mask=attn_mask)
        return self.out_proj(attended), None

    def _get_input_buffer(self, incremental_state: Any) -> dict[str, Optional[Tensor]]:
        """fairseq's decoder layer asks for it; there is no incremental state here."""
        return {}


class PackedLinear(nn.Module):
    """A linear layer whose weights lie as oneDNN multiplies them; a copy of it is an ordinary layer again."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), None)
        self._bias = None if linear.bias is None else linear.bias.detach()

    def forward(self, states: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(states, self._weight, self._bias, "none", [], "")
        return product

    def __deepcopy__(self, memo: dict[int, Any]) -> nn.Linear:
        """The layer that was packed: an export, for one, can make nothing of packed weights."""
        weight = self._weight.to_dense()
        return _linear(weight, None if self._bias is None else self._bias.clone())


def _is_plain(attention: Any) -> bool:
    """Whether it does nothing that :class:`InferenceAttention` does not."""
    return (
        (attention.self_attention or attention.encoder_decoder_attention or isinstance(attention, PositionalAttention))
        and attention.bias_k is None
        and not attention.add_zero_attn
        and all(type(getattr(attention, f"{part}_proj")) is nn.Linear for part in ("q", "k", "v", "out"))
    )


def _joined(*linears: nn.Linear) -> nn.Linear:
    """One layer that computes all of them."""
    return _linear(torch.cat([linear.weight for linear in linears]), torch.cat([linear.bias for linear in linears]))


def _linear(weight: Tensor, bias: Optional[Tensor]) -> nn.Linear:
    made = nn.Linear(weight.size(1), weight.size(0), bias=bias is not None, device="meta")
    made.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        made.bias = nn.Parameter(bias, requires_grad=False)
    return made


def _can_pack(side: nn.Module) -> bool:
    """Whether all is single precision on a CPU, and this torch has oneDNN with what its own compiler uses of it."""
    wanted = all(parameter.device.type == "cpu" and parameter.dtype == torch.float32 for parameter in side.parameters())
    if not wanted or not torch.backends.mkldnn.is_available():
        return False
    try:
        PackedLinear(nn.Linear(1, 1))(torch.zeros(1, 1))
    except (AttributeError, RuntimeError):  # names of torch's own that it may change
        return False
    return True
