"""The figures of one system, as they are saved."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from nat_plugin.analysis.latent_alignment import summarise
from nat_plugin.analysis.principal_components import EFFECTIVE_SHARE, principal_components
from scripts.lib.generation import displayed_path
from scripts.lib.latent.posteriors import PosteriorReader
from scripts.lib.latent.references import AlignedSentence, ComparedReferences
from scripts.lib.results import Row
from scripts.lib.signatures import one_line


def dimensions_row(reader: PosteriorReader) -> Row:
    """KL and principal components over all source positions of the split, end markers included, as training counts.

    KLs are in nats a position; ``kl_bits``, their sum in bits, is what training logs as ``kl``.
    """
    from nat_plugin.criterions.latent import ACTIVE  # the threshold of training's log; imports fairseq

    means: list[np.ndarray] = []
    total: Any = 0.0
    with tqdm(total=len(reader.dataset), desc="posteriors", unit=" sentences", disable=None) as progress:
        for batch in reader.read(reader.dataset):
            means += [posterior.means for posterior in batch]
            total = total + sum(posterior.divergences.sum(0, dtype=np.float64) for posterior in batch)
            progress.update(len(batch))
    points = np.concatenate(means)
    divergences = total / len(points)
    found = principal_components(points)
    return {
        "sentences": len(means),
        "positions": len(points),
        "dimensions": points.shape[1],
        "kl": {
            "nats": divergences.tolist(),
            "kl_bits": float(divergences.sum() / math.log(2)),
            "active_above": ACTIVE,
            "active_dimensions": int((divergences > ACTIVE).sum()),
        },
        "pca": {
            "explained_variance": found.variances.tolist(),
            "explained_variance_ratio": found.ratios.tolist(),
            "cumulative_ratio": found.cumulative.tolist(),
            "components": found.directions.tolist(),
            "effective_share": EFFECTIVE_SHARE,
            "effective_dimension": found.effective_dimension(),
        },
    }


def alignment_row(compared: ComparedReferences, files: Sequence[Path]) -> Row:
    """What the alignments of all sentences have in common, and what was left out."""
    return {
        "references": [displayed_path(path) for path in files],
        **asdict(summarise([sentence.alignment for sentence in compared.sentences])),
        "equal_references": compared.equal,
        "missing_references": compared.missing,
        "unknown_tokens": compared.unknown_tokens,
    }


def choose_examples(sentences: Sequence[AlignedSentence], count: int) -> list[AlignedSentence]:
    """The first ``count`` sentences in which a position moved; where there are not so many, also ones without."""
    moved = [sentence for sentence in sentences if not sentence.alignment.stays.all()]
    others = [sentence for sentence in sentences if sentence.alignment.stays.all()]
    return [*moved, *others][:count]


def example_row(sentence: AlignedSentence) -> Row:
    """One sentence for people, with the numbers of its picture."""
    alignment = sentence.alignment
    return {
        "sentence": sentence.index + 1,
        "source": sentence.words,
        "translations": list(sentence.translations),
        "alignment": alignment_text(sentence),
        "distance_to_itself": np.round(alignment.to_itself, 6).tolist(),
        "distance_to_match": np.round(alignment.to_match, 6).tolist(),
        "distances": np.round(alignment.distances, 6).tolist(),
    }


def alignment_text(sentence: AlignedSentence) -> str:
    """``0-0 1-2 2-1``, positions from 0, as the paper writes them."""
    return " ".join(f"{position}-{match}" for position, match in enumerate(sentence.alignment.matches))


def signature(row: Row, versions: dict[str, str], *, device: str) -> str:
    """What the figures depend on beside checkpoint and data, in one line."""
    parts = {
        "z": "posterior mean",
        "split": row["split"],
        "sentences": row["sentences"],
        "positions": f"{row['positions']} with end markers",
        "effective": f"{row['pca']['effective_share']:g} of the variance",
        "active": f"KL above {row['kl']['active_above']:g} nats",
        "alignment": "none" if row["alignment"] is None else "Euclidean, linear assignment, without end markers",
        "dtype": "fp32",
        "device": device,
        **versions,
    }
    return one_line(parts)
