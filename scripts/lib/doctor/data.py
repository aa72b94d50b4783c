"""Is a data folder whole, and are its two sides and its dictionaries of one piece?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch

from nat_plugin.canvas.lengths import scaled_lengths
from nat_plugin.errors import UserError
from nat_plugin.symbols import BLANK, MASK, SPECIAL_SYMBOLS
from scripts.lib.doctor.distilled import examine_distillation
from scripts.lib.doctor.findings import Finding, good, note, problem
from scripts.lib.doctor.folder import BINARISE_AGAIN, END, OWN_SYMBOLS, SPLITS, UNKNOWN, DataFolder, Side

_MUCH_UNKNOWN = 0.01
_SCALES = (1.5, 2, 3)


def examine_data(data: DataFolder) -> Iterator[Finding]:
    """Dictionaries, splits, subwords, and what distillation has touched."""
    source, target = data.languages
    dictionaries = {}
    for language in data.languages:
        try:
            dictionaries[language] = data.symbols(language)
        except UserError as error:
            yield problem(str(error), BINARISE_AGAIN)
            return
        yield from _dictionary(data.dictionary(language).name, dictionaries[language])
    if dictionaries[source] == dictionaries[target]:
        yield good(f"one dictionary of {len(dictionaries[source])} entries for both languages (--share-embeddings all)")
    else:
        sizes = " and ".join(str(len(dictionaries[language])) for language in data.languages)
        yield good(f"a dictionary for each language, {sizes} entries (--share-embeddings decoder or none)")
        if data.prepared_option("joined_dictionary"):
            yield problem("prepare.json says that there is one dictionary, and there are two.", BINARISE_AGAIN)
    for split in SPLITS:
        yield from _split(data, split, dictionaries)
    yield from _subwords(data, dictionaries)
    yield from _overlap(data)
    yield from examine_distillation(data)


def _dictionary(name: str, symbols: list[str]) -> Iterator[Finding]:
    missing = [symbol for symbol in SPECIAL_SYMBOLS if symbol not in symbols]
    if missing:
        yield note(
            f"{name} has no {' and no '.join(missing)}: our task appends them when it loads it, but an autoregressive "
            "teacher trained on this folder has no rows for them.",
            BINARISE_AGAIN,
        )
    elif tuple(symbols[-2:]) != SPECIAL_SYMBOLS:
        yield problem(f"{name} does not end in {MASK} and {BLANK}, as every model of ours counts on.", BINARISE_AGAIN)
    doubled = [symbol for symbol, count in Counter(symbols).items() if count > 1]
    if doubled:
        yield problem(
            f"{name} has {len(doubled)} entries twice, '{doubled[0]}' for one.",
            f"remove the second ones; {BINARISE_AGAIN}",
        )


def _split(data: DataFolder, split: str, dictionaries: Mapping[str, list[str]]) -> Iterator[Finding]:
    if not any(data.prefix(split, language).with_name(f"{data.prefix(split, language).name}.idx").is_file()
               for language in data.languages):  # fmt: skip
        missing = note if split == "test" else problem
        yield missing(f"there is no {split} set.", BINARISE_AGAIN)
        return
    try:
        sides = {language: data.side(split, language) for language in data.languages}
    except UserError as error:
        yield problem(str(error), BINARISE_AGAIN)
        return
    counts = [side.sizes.size for side in sides.values()]
    if counts[0] != counts[1]:
        yield problem(f"{split}: {counts[0]} source and {counts[1]} target sentences.", BINARISE_AGAIN)
        return
    lengths = ", ".join(
        f"{(side.sizes - 1).mean():.1f} {language} tokens, at most {side.sizes.max() - 1}"
        for language, side in sides.items()
    )
    yield good(f"{split}: {counts[0]} sentences; {lengths}")
    for language, side in sides.items():
        yield from _tokens(f"{split}.{language}", side, dictionaries[language])
    if split == "train":
        yield _ctc_room(*sides.values())


def _tokens(name: str, side: Side, symbols: list[str]) -> Iterator[Finding]:
    if int(side.tokens.max(initial=0)) >= len(symbols):
        yield problem(
            f"{name} holds token number {side.tokens.max()}, and its dictionary has {len(symbols)} entries.",
            BINARISE_AGAIN,
        )
        return
    empty = int((side.sizes <= 1).sum())
    if empty:
        yield problem(f"{name} has {empty} empty sentences.", "leave them out, as scripts/prepare.py does")
    special = [symbols.index(symbol) for symbol in SPECIAL_SYMBOLS if symbol in symbols]
    hidden = int(np.isin(side.tokens, special).sum())
    if hidden:
        yield problem(f"{name} says {MASK} or {BLANK} {hidden} times as if they were words.", BINARISE_AGAIN)
    unknown = int((side.tokens == UNKNOWN).sum()) / max(1, side.tokens.size - side.sizes.size)
    if unknown > _MUCH_UNKNOWN:
        yield note(
            f"{name}: {unknown:.1%} of the tokens are <unk>.",
            "subwords or dictionary are of another text: apply the training set's subword model to all splits",
        )


def _ctc_room(source: Side, target: Side) -> Finding:
    unfit = {scale: unfit_for_ctc(source, target, scale) for scale in _SCALES}
    shown = ", ".join(f"{count} with s = {scale:g}" for scale, count in unfit.items())
    text = f"CTC: of {target.sizes.size} training targets these do not fit into s slots a source token: {shown}"
    return note(text, "a larger --upsample-scale, or shorter subwords") if unfit[_SCALES[-1]] else good(text)


def unfit_for_ctc(source: Side, target: Side, scale: float) -> int:
    """How many targets CTC has no path for, n + equal neighbours > slots; end markers count not.

    The slots are those of :func:`~nat_plugin.canvas.lengths.scaled_lengths`, as the model has them.
    """
    after = np.cumsum(target.sizes)
    equal = np.flatnonzero((target.tokens[1:] == target.tokens[:-1]) & (target.tokens[1:] != END))
    repeats = np.bincount(np.searchsorted(after, equal, side="right"), minlength=target.sizes.size)
    words = torch.from_numpy(source.sizes.astype(np.int64) - 1)
    slots = scaled_lengths(words, scale, torch.iinfo(torch.int64).max).numpy()
    return int((target.sizes - 1 + repeats > slots).sum())


def _subwords(data: DataFolder, dictionaries: Mapping[str, list[str]]) -> Iterator[Finding]:
    source, target = data.languages
    kinds = {language: _kind(symbols) for language, symbols in dictionaries.items()}
    names = {"bpe": "BPE (@@)", "sentencepiece": "sentencepiece (▁)", "none": "no subwords that can be recognised"}
    shown = " and ".join(f"{names[kind]} in {language}" for language, kind in kinds.items())
    if data.prepared is None:
        yield note(f"{shown}; there is no prepare.json, so that our scripts cannot undo tokens.", "scripts/prepare.py")
        return
    told = data.prepared_option("subword")
    for language, kind in kinds.items():
        if told and kind not in (told, "none"):
            yield problem(
                f"prepare.json says subwords '{told}', and dict.{language}.txt has {names[kind]}.", BINARISE_AGAIN
            )
    joint = data.prepared_option("joint_subwords")
    learnt = "" if joint is None or told == "none" else f", learnt {'together' if joint else 'for each by itself'}"
    yield good(f"{shown}{learnt}")
    shared = len(set(dictionaries[source]) & set(dictionaries[target])) - len(OWN_SYMBOLS) - len(SPECIAL_SYMBOLS)
    if joint and dictionaries[source] != dictionaries[target]:
        yield note(
            f"subwords were learnt together, but each language has its dictionary ({shared} entries in both).",
            "--joined-dictionary lets embeddings be shared",
        )


def _kind(symbols: list[str]) -> str:
    if any(symbol.endswith("@@") for symbol in symbols):
        return "bpe"
    return "sentencepiece" if any(symbol.startswith("▁") and len(symbol) > 1 for symbol in symbols) else "none"


def _overlap(data: DataFolder) -> Iterator[Finding]:
    """Sentences of validation and test that the training set has too."""
    try:
        seen = set(data.side("train", data.languages[0]).keys())
        for split in SPLITS[1:]:
            sources = data.side(split, data.languages[0]).keys()
            known = sum(sentence in seen for sentence in sources)
            if known:
                yield note(f"{known} of {len(sources)} {split} sources also stand in the training set.")
    except UserError:
        return  # said already
