"""Noise in place of what a trained model sees at some positions: Figure 1(b) of Guo et al. 2020.

The paper adds noise "by randomly replacing the embeddings of some tokens with random noise" to one of three inputs:

================  =================================================================================================
encoder_input     the token's embedding, before its position is added; what the decoder copies of the source's
                  embeddings stays as it was
encoder_output    the encoder's state; all that is made of it sees the noise: attention, length, copies of states
decoder_input     what fills the slot, a token's embedding, ``<mask>``'s or a copy, before its position is added
================  =================================================================================================

What the paper does not say is ours: round(rate · positions) positions of each sentence without its end marker, as in
§5.3.1, and normal noise whose standard deviation is ``strength`` times the root mean square of what the sentence has at
all these positions, so that 1 keeps the size of the vectors. Decoding in several passes draws anew in each. Every draw
depends on the seed, the source's own tokens and the number of the pass, not on the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Optional, get_args

import torch
from torch import Tensor

from nat_plugin.analysis.word_noise import NoiseStream, at_words, choose_words
from nat_plugin.canvas.random import sentence_hash, sentence_normal

Place = Literal["encoder_input", "encoder_output", "decoder_input"]
PLACES: tuple[Place, ...] = get_args(Place)


@dataclass(frozen=True)
class StateNoise:
    """What is disturbed, and how.

    Attributes:
        place: see above.
        rate: share of the positions, 0 to 1.
        strength: the noise's size in that of the vectors it replaces.
        seed: other seeds, other noise.
    """

    place: Place
    rate: float
    strength: float = 1.0
    seed: int = 1


def disturb_states(states: Tensor, positions: Tensor, noise: StateNoise, *, draw: int, sentence_ids: Tensor) -> Tensor:
    """Put noise in the place of some vectors.

    Args:
        states: [B, S, D].
        positions: [B, S] bool, where noise may stand.
        draw: another number draws anew.
        sentence_ids: [B] int64.

    Returns:
        [B, S, D], in the type of ``states``.
    """
    chosen = choose_words(positions, noise.rate, seed=noise.seed, draw=draw, sentence_ids=sentence_ids)
    size = torch.where(positions.unsqueeze(2), states.double(), 0.0).square().sum((1, 2))
    size = (size / (positions.sum(1) * states.size(2)).clamp(min=1)).sqrt()
    drawn = sentence_normal(noise.seed, draw, sentence_ids, states.size(1) * states.size(2), NoiseStream.VALUES)
    vectors = at_words(drawn.view(states.shape), positions) * (noise.strength * size)[:, None, None]
    return torch.where(chosen.unsqueeze(2), vectors.to(states.dtype), states)


@contextmanager
def state_noise(model: Any, noise: StateNoise) -> Iterator[None]:
    """Within the context ``model`` sees noise; afterwards it is as it was.

    Args:
        model: of ours, or for the encoder's input and output also another with fairseq's transformer encoder.

    Raises:
        ValueError: noise at the decoder's input of a model that fills no canvas.
    """
    if noise.place == "decoder_input" and not hasattr(model, "decode_canvas"):
        raise ValueError("an autoregressive decoder has no canvas whose slots could be filled with noise")
    sentences = _Sentences()
    with _replaced(model.encoder, "forward", lambda forward: _encode(model.encoder, forward, noise, sentences)):
        if noise.place != "decoder_input":
            yield
            return
        with _replaced(model.decoder, "_embed", lambda embed: _fill(model.decoder, embed, noise, sentences)):
            yield


class _Sentences:
    """The batch that was encoded last, and how often it has been decoded."""

    def __init__(self) -> None:
        self.ids = torch.zeros(0, dtype=torch.int64)
        self.passes = 0

    def begin(self, tokens: Tensor, padding_idx: int) -> None:
        self.ids, self.passes = sentence_hash(tokens, tokens.ne(padding_idx)), 0

    def rows(self, count: int) -> Tensor:
        """Of ``count`` canvases, the same number of each sentence beside each other, whose sentence: [count] ids."""
        return self.ids.repeat_interleave(count // len(self.ids))


def _encode(encoder: Any, forward: Callable[..., Any], noise: StateNoise, sentences: _Sentences) -> Callable[..., Any]:
    def noisy(src_tokens: Tensor, *args: Any, **kwargs: Any) -> Any:
        sentences.begin(src_tokens, encoder.padding_idx)
        words = src_tokens.ne(encoder.padding_idx) & src_tokens.ne(encoder.dictionary.eos())

        def disturbed(states: Tensor) -> Tensor:
            return disturb_states(states, words, noise, draw=0, sentence_ids=sentences.ids)

        if noise.place == "encoder_input":
            embedded = encoder.embed_tokens(src_tokens)
            output = forward(src_tokens, *args, **{**kwargs, "token_embeddings": disturbed(embedded)})
            return {**output, "encoder_embedding": [encoder.embed_scale * embedded]}
        output = forward(src_tokens, *args, **kwargs)
        if noise.place == "encoder_output":
            states = output["encoder_out"][0].transpose(0, 1)
            output = {**output, "encoder_out": [disturbed(states).transpose(0, 1)]}
        return output

    return noisy


def _fill(
    decoder: Any, embed: Callable[..., Tensor], noise: StateNoise, sentences: _Sentences
) -> Callable[..., Tensor]:
    def noisy(canvas: Tensor, copies: Optional[Tensor] = None) -> Tensor:
        slots = canvas.ne(decoder.padding_idx)
        slots = slots & slots.cumsum(1).ne(slots.sum(1, keepdim=True))  # the last one is the end marker's
        positions: Tensor = decoder.embed_positions(canvas)
        contents = embed(canvas, copies) - positions
        ids = sentences.rows(canvas.size(0))
        disturbed = disturb_states(contents, slots, noise, draw=sentences.passes, sentence_ids=ids)
        sentences.passes += 1
        return disturbed + positions

    return noisy


@contextmanager
def _replaced(owner: Any, name: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """Within the context ``owner.name`` is what ``make`` makes of it (fairseq calls ``forward`` past torch's hooks)."""
    setattr(owner, name, make(getattr(owner, name)))
    try:
        yield
    finally:
        delattr(owner, name)
