"""From the command line of ``scripts/prepare.py`` to what is to be made."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.corpora.model import Collection, Recipe
from scripts.lib.downloads import Download
from scripts.lib.generation import displayed_path
from scripts.lib.noisy_pairs import parse_limits
from scripts.lib.parallel_text import SplitFiles, sha256
from scripts.lib.preparation.assemble import (
    Assembly,
    assembled_files,
    assembly_key,
    collection_assemblies,
    filtered_files,
)
from scripts.lib.preparation.job import Job, Options
from scripts.lib.recipes import RECIPES, ROOT, default_raw_folder, find_recipe, recipe_files
from scripts.lib.text import TOKENIZERS, TokenizerKind, default_tokenizer

# What holds where neither the command line nor a recipe says anything.
DEFAULTS: Mapping[str, Any] = {
    "tokenizer": [],
    "normalise_punctuation": True,
    "subword": "bpe",
    "bpe_merges": 32000,
    "vocab_size": 32000,
    "separate_subwords": False,
    "joined_dictionary": None,
    "min_count": 0,
    "max_tokens": 175,
    "max_test_tokens": 1000,
    "max_ratio": None,
    "drop_duplicates": False,
    "replace_invalid_utf8": False,
    "lowercase": False,
    "romanian": "as-is",
    "count_words": False,
    "filter_noise": None,
}
_OWN_FILES = ("name", "source_lang", "target_lang", "train", "valid", "test", "test_references")
_NOT_FETCHED = "not fetched yet"


def resolve(arguments: argparse.Namespace) -> tuple[Job, dict[Path, Download]]:
    """What is to be made, and which files have to be fetched before.

    Raises:
        UserError: arguments that do not go together, an unknown recipe, or a file that is missing.
    """
    given = {name: value for name, value in vars(arguments).items() if value is not None}
    if arguments.recipe:
        if own := [name for name in _OWN_FILES if name in given]:
            raise UserError(f"{_flag(own[0])} does not go with the recipe '{arguments.recipe}': give one or the other.")
        recipe = find_recipe(arguments.recipe)
        languages, name, sizes = (recipe.source_lang, recipe.target_lang), arguments.recipe, recipe.sizes
        values = {**DEFAULTS, **recipe.options, **given}
        limits = _noise_limits(values)
        files, assemblies, missing = _recipe_text(arguments, recipe, languages, limits)
    else:
        languages, files = _own_files(arguments, given)
        name, sizes, missing = arguments.name, (), {}
        values = {**DEFAULTS, **given}
        limits = _noise_limits(values)
        assemblies = {"train": filtered_files(files["train"], languages, limits)} if limits else {}
    options = _options(values, given, languages)
    output = Path(displayed_path(arguments.output or ROOT / "data-bin" / name))
    given_files = [path for split, side in files.items() if split not in assemblies for path in side.all]
    given_files += [path for assembly in assemblies.values() for path in assembly.paths]
    inputs = {path: _NOT_FETCHED if path in missing else sha256(path) for path in dict.fromkeys(given_files)}
    keys = {
        split: assembly_key(assembly, languages, inputs, options.replace_invalid_utf8)
        for split, assembly in assemblies.items()
    }
    files |= {split: assembled_files(split, assembly, languages, output) for split, assembly in assemblies.items()}
    made = {path: f"{keys[split]} {path.name}" for split in assemblies for path in files[split].all}
    job = Job(
        languages=languages,
        files=files,
        digests={**inputs, **made},
        inputs=inputs,
        output=output,
        options=options,
        workers=arguments.workers,
        assemblies=assemblies,
        assembly_keys=keys,
        sizes=sizes,
        strict=arguments.strict,
    )
    return job, missing


def _recipe_text(
    arguments: argparse.Namespace, recipe: Recipe, languages: tuple[str, str], limits: Mapping[str, float] | None
) -> tuple[dict[str, SplitFiles], dict[str, Assembly], dict[Path, Download]]:
    """Plain files by split, what the other splits are put together from, and what has to be fetched before."""
    corpus = recipe.corpus
    folder = arguments.raw or default_raw_folder(corpus)
    files: dict[str, SplitFiles] = {}
    if isinstance(corpus, Collection):
        assemblies = collection_assemblies(corpus, folder, limits)
        missing = {
            folder / name: download for name, download in corpus.needed().items() if not (folder / name).is_file()
        }
    else:
        files, missing = recipe_files(corpus, languages, folder)
        assemblies = {"train": filtered_files(files["train"], languages, limits)} if limits else {}
    if arguments.raw and missing:
        names = ", ".join(path.name for path in missing)
        raise UserError(f"--raw {folder} lacks {names}: name the folder that holds them, or leave --raw out.")
    return files, assemblies, missing


def _noise_limits(values: Mapping[str, Any]) -> dict[str, float] | None:
    return None if values["filter_noise"] is None else parse_limits(values["filter_noise"]) or None


def _own_files(
    arguments: argparse.Namespace, given: Mapping[str, Any]
) -> tuple[tuple[str, str], dict[str, SplitFiles]]:
    if arguments.raw:
        raise UserError("--raw is the folder of a recipe's files: name a recipe, or leave it out.")
    for name in ("name", "source_lang", "target_lang", "train", "valid"):
        if name not in given:
            raise UserError(f"{_flag(name)} is missing: name a recipe ({', '.join(RECIPES)}), or your own files.")
    if not re.fullmatch(r"\w[\w.-]*", arguments.name):
        raise UserError(f"--name {arguments.name} becomes a folder's name: use letters, digits, '_', '-' and '.'.")
    for name in ("source_lang", "target_lang"):
        if not re.fullmatch(r"\w+", given[name]):
            raise UserError(f"{_flag(name)} {given[name]} becomes part of files' names: use letters, digits and '_'.")
    if arguments.source_lang == arguments.target_lang:
        raise UserError("--source-lang and --target-lang are the same, so their files would be too: give two codes.")
    if arguments.test_references and not arguments.test:
        raise UserError("--test-references goes with --test: name the two files of the test set as well.")
    files = {
        split: SplitFiles(given[split][0], given[split][1]) for split in ("train", "valid", "test") if split in given
    }
    if arguments.test_references:
        files["test"] = replace(files["test"], references=tuple(arguments.test_references))
    return (arguments.source_lang, arguments.target_lang), files


def _options(values: Mapping[str, Any], given: Mapping[str, Any], languages: tuple[str, str]) -> Options:
    subword = values["subword"]
    sizes = {"bpe": "bpe_merges", "sentencepiece": "vocab_size"}
    for kind, name in sizes.items():
        if name in given and subword != kind:
            raise UserError(f"{_flag(name)} belongs to --subword {kind}, not {subword}: drop one of them.")
    joint = subword != "none" and not values["separate_subwords"]
    tokenizer = {
        language: _parse_tokenizers(values["tokenizer"], languages).get(language)
        or default_tokenizer(language, subword)
        for language in languages
    }
    if subword == "sentencepiece" and "char" in tokenizer.values():
        raise UserError("--tokenizer char leaves sentencepiece nothing to split: use --subword none with it.")
    return Options(
        tokenizer=tokenizer,
        normalise_punctuation=values["normalise_punctuation"],
        subword=subword,
        subword_size=values[sizes[subword]] if subword in sizes else 0,
        joint_subwords=joint,
        joined_dictionary=joint if values["joined_dictionary"] is None else values["joined_dictionary"],
        min_count=values["min_count"],
        max_tokens=values["max_tokens"],
        max_test_tokens=values["max_test_tokens"],
        max_ratio=values["max_ratio"],
        drop_duplicates=values["drop_duplicates"],
        replace_invalid_utf8=values["replace_invalid_utf8"],
        lowercase=values["lowercase"],
        romanian=values["romanian"],
        count_words=values["count_words"],
    )


def _parse_tokenizers(values: Sequence[str], languages: tuple[str, str]) -> dict[str, TokenizerKind]:
    """``["moses"]`` or ``["en=moses", "ja=none"]`` → language → kind."""
    chosen: dict[str, TokenizerKind] = {}
    for value in values:
        language, equals, name = value.rpartition("=")
        kind = next((kind for kind in TOKENIZERS if kind == name), None)
        if kind is None:
            raise UserError(f"--tokenizer {value}: there is no '{name}', take one of {', '.join(TOKENIZERS)}.")
        if equals and language not in languages:
            raise UserError(f"--tokenizer {value}: '{language}' is neither of the languages {' and '.join(languages)}.")
        chosen.update(dict.fromkeys([language] if equals else languages, kind))
    return chosen


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")
