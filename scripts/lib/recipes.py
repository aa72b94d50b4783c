"""Named data sets: where their text comes from, and how it is prepared unless the command line says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nat_plugin.errors import UserError
from scripts.lib.downloads import Download
from scripts.lib.parallel_text import SplitFiles

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class Corpus:
    """Parallel text that is published somewhere."""

    name: str
    """Folder of the files: ``data-raw/<name>``."""
    files: Mapping[str, Download]
    """``<split>.<language>``, with ``.gz`` where the file is gzipped, → where it is."""
    published_splits: Mapping[str, str]
    """Our split → its name in the published files, which ``--raw`` may point to just as well."""


@dataclass(frozen=True)
class Recipe:
    """A direction of a corpus, and the options of ``scripts/prepare.py`` that differ from its defaults."""

    corpus: Corpus
    source_lang: str
    target_lang: str
    options: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))


def _multi30k() -> Corpus:
    """The image captions of the WMT multimodal task (https://github.com/multi30k/dataset), test set of 2016."""
    base = "https://raw.githubusercontent.com/multi30k/dataset/master/data/task1/raw"
    published = {"train": "train", "valid": "val", "test": "test_2016_flickr"}
    md5 = {  # as torchtext publishes them for these addresses
        "train.en": "0065d13af80720a55ca8153d126e6627",
        "train.de": "81ff90b99829c0cd4b1b587d394afd39",
        "valid.en": "2b69aa9253948ac9f67e94917272dd40",
        "valid.de": "6e0e229eb049e3fc99a1ef02fb2d5f91",
        "test.en": "ff2c0fcb4893a13bd73414306bc250ae",
        "test.de": "efd67d314d98489b716b145475101932",
    }
    files = {}
    for name, digest in md5.items():
        split, language = name.split(".")
        files[f"{name}.gz"] = Download((f"{base}/{published[split]}.{language}.gz",), f"md5:{digest}")
    return Corpus("multi30k", files, published)


def _small_parallel_enja() -> Corpus:
    """50,000 short sentences of the Tanaka corpus, already split into words and lower-cased
    (https://github.com/odashi/small_parallel_enja)."""
    base = "https://raw.githubusercontent.com/odashi/small_parallel_enja/master"
    published = {"train": "train", "valid": "dev", "test": "test"}
    sha256 = {
        "train.en": "148b05dcd28638fe20ee84f2b1127001c80982be352007dda241fb759adadc76",
        "train.ja": "fc81a1434349ec98a449d7ae9cd2530057f689637684ecfed3501ea6a8a07ecc",
        "valid.en": "04a2673449770657fd5e3b963cb856be3130923212b6db8ac7eaeef18f06c041",
        "valid.ja": "cd534f56b8639dc130f86a365e5ec0aa70042000bdd740a622fbbf8b6be4acca",
        "test.en": "45edb380749ec2b49cca7618fc5a7595fc9f791180672ba466b90c873a4aa8bf",
        "test.ja": "d37dc460a81b064e4106c8913eb11fa300da05cf3f58a7a5bbfec7e20947ddef",
    }
    files = {}
    for name, digest in sha256.items():
        split, language = name.split(".")
        parts = [f".{number:03}" for number in range(5)] if split == "train" else [""]
        urls = tuple(f"{base}/{published[split]}.{language}{part}" for part in parts)
        files[name] = Download(urls, f"sha256:{digest}")
    return Corpus("small_parallel_enja", files, published)


_MULTI30K = _multi30k()
# The models for it are tiny, and so is the text: few merges, shared by two related languages.
_MULTI30K_OPTIONS = MappingProxyType({"bpe_merges": 6000})

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "multi30k_en_de": Recipe(_MULTI30K, "en", "de", _MULTI30K_OPTIONS),
        "multi30k_de_en": Recipe(_MULTI30K, "de", "en", _MULTI30K_OPTIONS),
        # The scripts have no letters in common: nothing is won by sharing subwords or a dictionary.
        "small_parallel_enja": Recipe(
            _small_parallel_enja(),
            "en",
            "ja",
            MappingProxyType({"tokenizer": ["none"], "bpe_merges": 4000, "separate_subwords": True}),
        ),
    }
)


def find_recipe(name: str) -> Recipe:
    """The recipe of that name.

    Raises:
        UserError: there is none.
    """
    if name not in RECIPES:
        raise UserError(
            f"there is no recipe '{name}': take one of {', '.join(RECIPES)}, or name your own files with --name, "
            "--source-lang, --target-lang, --train and --valid."
        )
    return RECIPES[name]


def default_raw_folder(corpus: Corpus) -> Path:
    """A copy beside the repository if there is one, else where downloads go."""
    beside = ROOT.parent / "shared" / "data" / corpus.name
    return beside if beside.is_dir() else ROOT / "data-raw" / corpus.name


def recipe_files(recipe: Recipe, folder: Path) -> tuple[dict[str, SplitFiles], dict[Path, Download]]:
    """The recipe's files in ``folder``, under our names or the published ones, gzipped or plain.

    Returns:
        The files of each split, and which of them are not there yet and have to be fetched.
    """
    files: dict[str, SplitFiles] = {}
    missing: dict[Path, Download] = {}
    for split in SPLITS:
        sides: list[Path] = []
        for language in (recipe.source_lang, recipe.target_lang):
            path = _existing(recipe.corpus, folder, split, language)
            if path is None:
                stem = f"{split}.{language}"
                name = next(file for file in recipe.corpus.files if file.removesuffix(".gz") == stem)
                path = folder / name
                missing[path] = recipe.corpus.files[name]
            sides.append(path)
        files[split] = SplitFiles(sides[0], sides[1])
    return files, missing


def _existing(corpus: Corpus, folder: Path, split: str, language: str) -> Path | None:
    stems = (f"{split}.{language}", f"{corpus.published_splits[split]}.{language}")
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)
