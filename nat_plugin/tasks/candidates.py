"""Candidate targets from the folders of ``--target-candidates``: read, and compared with the training data."""

from __future__ import annotations

import logging
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
from fairseq.data.indexed_dataset import MMapIndexedDataset
from fairseq.tasks.translation import load_langpair_dataset

from nat_plugin.errors import UserError
from nat_plugin.target_candidates.cache import candidate_bleu
from nat_plugin.target_candidates.words import Tokens
from nat_plugin.tasks.binarised import check_tokens, refuse_empty
from nat_plugin.tasks.candidate_dataset import CandidateDataset
from nat_plugin.tasks.candidate_options import CandidateOptions

logger = logging.getLogger(__name__)


def with_candidates(dataset: Any, split: str, task: Any, options: CandidateOptions, *, combine: bool) -> Any:
    """The training pairs with all their candidates.

    Args:
        dataset: fairseq's ``LanguagePairDataset`` of the training data.
        split: its name.
        task: has the dictionaries and the options of translation.
        options: the folders, γ and β.
        combine: whether it is made of several parts, as fairseq has it.

    Raises:
        UserError: a folder is not there or damaged, or its dictionaries, number of sentences or sources are others.
    """
    texts = []
    for folder in options.folders:
        candidate = _load(folder, split, task, combine)
        where = f"split '{split}' of --target-candidates {folder}"
        if len(candidate) != len(dataset):
            raise UserError(
                f"{where} has {len(candidate)} sentences, but the training data have {len(dataset)}: candidates are "
                "translations of the same sentences in the same order."
            )
        check_tokens(candidate.src, task.src_dict, where)
        _check_sources(where, tokens_of(candidate.src), tokens_of(dataset.src))
        check_tokens(candidate.tgt, task.tgt_dict, where)
        refuse_empty(candidate.tgt_sizes, f"target sentence of {where}")
        texts.append(candidate.tgt)
    texts.append(dataset.tgt)
    for number, folder in enumerate([*options.folders, task.cfg.data], start=1):
        logger.info("candidate %d, weight %g: %s", number, options.weights[number - 1], folder)
    bleu = None
    if options.bleu_factor:
        bleu = candidate_bleu([tokens_of(text) for text in texts], task.tgt_dict.symbols, Path(options.cache))
    return CandidateDataset(dataset, texts, bleu, options)


def tokens_of(text: Any) -> Tokens:
    """A binarised text in one piece; without a copy where it is memory-mapped."""
    if isinstance(text, MMapIndexedDataset):
        sizes = np.asarray(text.sizes)
        tokens = np.frombuffer(text._bin_buffer, dtype=text._index.dtype)
        return Tokens(tokens[: int(sizes.sum(dtype=np.int64))], sizes)
    parts = [text[index].numpy() for index in range(len(text))]
    return Tokens(np.concatenate(parts), np.array([len(part) for part in parts], dtype=np.int32))


def _load(folder: str, split: str, task: Any, combine: bool) -> Any:
    cfg = task.cfg
    flag = f"--target-candidates {folder}"
    if not os.path.isdir(folder):
        raise UserError(f"{flag}: there is no such folder; scripts/distill.py --output {folder} makes one.")
    for language, own in ((cfg.source_lang, task.src_dict), (cfg.target_lang, task.tgt_dict)):
        theirs = task.load_dictionary(os.path.join(folder, f"dict.{language}.txt"))
        if theirs.symbols != own.symbols:
            pairs = enumerate(zip(theirs.symbols, own.symbols, strict=False))
            place = next((place for place, (there, here) in pairs if there != here), min(len(theirs), len(own)))
            raise UserError(
                f"{flag} has another dictionary of {language} than the training data (from word {place} on): binarise "
                "it with the same one; scripts/distill.py does."
            )
    try:
        return load_langpair_dataset(
            folder,
            split,
            cfg.source_lang,
            task.src_dict,
            cfg.target_lang,
            task.tgt_dict,
            combine=combine,
            dataset_impl=cfg.dataset_impl,
            upsample_primary=cfg.upsample_primary,
            left_pad_source=cfg.left_pad_source,
            left_pad_target=cfg.left_pad_target,
            max_source_positions=cfg.max_source_positions,
            max_target_positions=cfg.max_target_positions,
            truncate_source=cfg.truncate_source,
        )
    except FileNotFoundError as error:
        raise UserError(
            f"{flag} has no binarised split '{split}' for {cfg.source_lang}-{cfg.target_lang}: make the folder with "
            "scripts/distill.py."
        ) from error
    except (AssertionError, ValueError, struct.error) as error:
        raise UserError(
            f"split '{split}' of {flag} is damaged, empty, or has sides of unequal length ({error}): binarise it again."
        ) from error


def _check_sources(where: str, theirs: Tokens, own: Tokens) -> None:
    if np.array_equal(theirs.sizes, own.sizes) and np.array_equal(theirs.tokens, own.tokens):
        return
    starts = np.cumsum(own.sizes, dtype=np.int64)
    longer = np.flatnonzero(np.asarray(theirs.sizes) != np.asarray(own.sizes))
    least = min(len(theirs.tokens), len(own.tokens))
    other = np.flatnonzero(theirs.tokens[:least] != own.tokens[:least])
    places = [int(longer[0])] if len(longer) else []
    places += [int(np.searchsorted(starts, other[0], side="right"))] if len(other) else []
    raise UserError(
        f"{where} has other source sentences than the training data (first number {min(places) + 1}): candidates are "
        "translations of the same sentences in the same order."
    )
