"""log P(t_i | X) of a frozen vanilla NAT for every token of a split, computed once and kept in a file."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nat_plugin.alignments import slot_log_probs
from nat_plugin.decoding.vanilla_nat import load_vanilla_nat
from nat_plugin.files import atomic_write
from scripts.lib.mple.reader import ProxyBatch
from scripts.lib.parallel_text import sha256


class VanillaLogProbs:
    """The vanilla NAT's log-probabilities of proxy targets on fully masked canvases of their length.

    A file holds those of one set of sentence pairs; its name is a digest of the checkpoint's content and of all tokens
    of both sides, so that systems with the same proxy targets share it, and nothing stale is ever read.

    Args:
        checkpoint: the vanilla NAT.
        folder: where the files are kept.
        task: ``nat_translation``, with the dictionaries.
        device: where to compute.

    Raises:
        UserError: it is no vanilla NAT of this data.
    """

    def __init__(self, checkpoint: Path, folder: Path, task: Any, device: torch.device) -> None:
        self.checkpoint, self._folder, self._device = checkpoint, folder, device
        self.model = load_vanilla_nat(str(checkpoint), task, "--vanilla").to(device)
        self._content = sha256(checkpoint)
        self.computed = 0
        """How often the model was asked, and no file."""

    def of(self, batches: Iterable[ProxyBatch]) -> dict[int, np.ndarray]:
        """Each sentence's log P(t_i | X), nats, float32 [n], by its place in the split."""
        kept = list(batches)
        path = self._folder / f"vanilla_{self._key(kept)[:20]}.npz"
        try:
            with np.load(path) as saved:
                places, lengths, values = saved["places"], saved["lengths"], saved["values"]
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):  # none yet, or no such file
            places, lengths, values = self._compute(kept)
            with atomic_write(path, "wb") as handle:
                np.savez(handle, places=places, lengths=lengths, values=values)
        parts = np.split(values, np.cumsum(lengths)[:-1])
        return dict(zip(places.tolist(), parts, strict=True))

    @torch.no_grad()
    def _compute(self, batches: list[ProxyBatch]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        self.computed += 1
        places: list[int] = []
        lengths: list[int] = []
        values: list[np.ndarray] = []
        for batch in batches:
            source = batch.sample["net_input"]
            encoder_out = self.model.encode(source["src_tokens"], source["src_lengths"])
            hidden = self.model.canvas_maker.hidden(batch.lengths, batch.proxy.size(1)).slots
            logits = self.model.decode_canvas(hidden, batch.lengths, encoder_out)
            lprobs = slot_log_probs(logits, batch.proxy.unsqueeze(2), batch.lengths).of_tokens.squeeze(2)
            of_batch = batch.lengths.tolist()
            places += batch.sample["id"].tolist()
            lengths += of_batch
            values += [row[:length] for row, length in zip(lprobs.float().cpu().numpy(), of_batch, strict=True)]
        return np.array(places), np.array(lengths), np.concatenate(values)

    def _key(self, batches: list[ProxyBatch]) -> str:
        """A digest of the checkpoint and of all pairs in the order of their places."""
        pairs: dict[int, bytes] = {}
        for batch in batches:
            sources = batch.sample["net_input"]["src_tokens"].cpu().numpy()
            proxies, lengths = batch.proxy.cpu().numpy(), batch.lengths.tolist()
            for row, place in enumerate(batch.sample["id"].tolist()):
                real = sources[row][sources[row] != self.model.symbols.pad]
                pairs[place] = real.tobytes() + b"|" + proxies[row, : lengths[row]].tobytes()
        digest = hashlib.sha256(self._content.encode())
        for place in sorted(pairs):
            digest.update(f"{place}:{len(pairs[place])}:".encode() + pairs[place])
        return digest.hexdigest()


def padded(values: dict[int, np.ndarray], batch: ProxyBatch) -> Tensor:
    """[B, m] float64, the log-probabilities of a batch's tokens; 0 beyond the lengths."""
    made = torch.zeros(batch.proxy.shape, dtype=torch.float64)
    for row, place in enumerate(batch.sample["id"].tolist()):
        made[row, : len(values[place])] = torch.from_numpy(values[place])
    return made.to(batch.proxy.device)
