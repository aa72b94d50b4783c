"""Which kind of model a checkpoint or a flag has given us."""

from __future__ import annotations

from typing import Any


def is_autoregressive(model: Any) -> bool:
    """Whether a model predicts each token from those before it, and fairseq's ordinary generator decodes it."""
    from fairseq.models import FairseqIncrementalDecoder

    decoder = getattr(model, "decoder", None)
    return isinstance(decoder, FairseqIncrementalDecoder) and not (
        hasattr(model, "decode_canvas") or hasattr(model, "initialize_output_tokens")
    )
