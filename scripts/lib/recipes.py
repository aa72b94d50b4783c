"""Named data sets: where their text comes from, and how it is prepared unless the command line says otherwise.

What the papers say of a data set, and where the rest is from, stands in docs/data_recipes.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from nat_plugin.errors import UserError
from scripts.lib.corpora import wmt
from scripts.lib.corpora.iwslt import iwslt14
from scripts.lib.corpora.model import Collection, Corpus, Recipe, StatedSize
from scripts.lib.corpora.small import multi30k, small_parallel_enja
from scripts.lib.downloads import Download
from scripts.lib.parallel_text import SplitFiles

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "valid", "test")


def _multi30k() -> dict[str, Recipe]:
    corpus = multi30k()
    # The models for it are tiny, and so is the text: few merges, shared by two related languages.
    options = MappingProxyType({"bpe_merges": 6000})
    return {
        "multi30k_en_de": Recipe(corpus, "en", "de", options),
        "multi30k_de_en": Recipe(corpus, "de", "en", options),
    }


def _enja() -> dict[str, Recipe]:
    # The scripts have no letters in common: nothing is won by sharing subwords or a dictionary.
    options = MappingProxyType({"tokenizer": ["none"], "bpe_merges": 4000, "separate_subwords": True})
    return {"small_parallel_enja": Recipe(small_parallel_enja(), "en", "ja", options)}


def _wmt14() -> dict[str, Recipe]:
    corpus = wmt.wmt14()
    card = "Hugging Face's card of wmt14 de-en"
    sets = (StatedSize("valid", 3000, 0, card), StatedSize("test", 3003, 0, card))
    stated = "Ghazvininejad et al. 2020, section 4.1; Guo et al. 2020, section 5.1.1; Huang et al. 2022, section 4"
    sizes = (StatedSize("train", 4_500_000, 0.02, stated), *sets)
    # Joint BPE of 32,000 merges: Huang et al. 2022, appendix G, after Zhou et al. 2020; Guo et al. 2020, section 5.1.1.
    options = MappingProxyType({"bpe_merges": 32000, "max_tokens": 250})
    # fairseq's prepare-wmt14en2de.sh: 1 to 250 subwords, a ratio of at most 1.5.
    cleaned = MappingProxyType({**options, "max_ratio": 1.5})
    fewer = (StatedSize("train", 4_000_000, 0.05, "Gu & Kong 2021, section 4.1"), *sets)
    recipe = Recipe(corpus, "en", "de", options, sizes)
    ott = StatedSize("test", 500, 0, "Ott et al. 2018")
    return {
        "wmt14_en_de": recipe,
        "wmt14_de_en": replace(recipe, source_lang="de", target_lang="en"),
        "wmt14_en_de_cleaned": Recipe(corpus, "en", "de", cleaned, fewer),
        "wmt14_de_en_cleaned": Recipe(corpus, "de", "en", cleaned, fewer),
        "wmt14_en_de_multiref": replace(recipe, corpus=wmt.wmt14_multiref(), sizes=(*sizes[:2], ott)),
    }


def _wmt16() -> dict[str, Recipe]:
    stated = "Ghazvininejad et al. 2020, section 4.1; Gu & Kong 2021, section 4.1; Guo et al. 2020, section 5.1.1"
    card = "Hugging Face's card of wmt16 ro-en"
    sizes = (
        StatedSize("train", 610_000, 0.02, stated),
        StatedSize("valid", 1999, 0, card),
        StatedSize("test", 1999, 0, card),
    )
    # A joint vocabulary of 40,000, as Lee et al. 2018 have it (README of dl4mt-nonauto). One letter for ș and ț: WMT's
    # own normalise-romanian.py; diacritics are kept, because none of the papers says that they are removed.
    options = MappingProxyType({"bpe_merges": 40000, "max_tokens": 250, "romanian": "comma"})
    recipe = Recipe(wmt.wmt16(), "en", "ro", options, sizes)
    return {"wmt16_en_ro": recipe, "wmt16_ro_en": replace(recipe, source_lang="ro", target_lang="en")}


def _wmt17() -> dict[str, Recipe]:
    stated = "Ghazvininejad et al. 2020, section 4.1; Huang et al. 2022, section 4"
    card = "Hugging Face's card of wmt17 zh-en"
    sizes = (
        StatedSize("train", 25_134_743, 0.01, card, "published"),
        StatedSize("train", 20_000_000, 0.1, stated),
        StatedSize("valid", 2002, 0, card),
        StatedSize("test", 2001, 0, card),
    )
    # BPE of 32,000 merges for each language: Huang et al. 2022, appendix G; Ghazvininejad et al. 2020, footnote 5. They
    # do not say which fifth of the pairs they leave out: here repeated, very uneven and very long ones.
    options = MappingProxyType(
        {
            "tokenizer": ["zh=jieba", "en=moses"],
            "bpe_merges": 32000,
            "separate_subwords": True,
            "max_tokens": 250,
            "max_ratio": 3.0,
            "drop_duplicates": True,
            "replace_invalid_utf8": True,  # web text: a handful of broken lines must not stop 25 million
        }
    )
    recipe = Recipe(wmt.wmt17(), "en", "zh", options, sizes)
    backwards = replace(recipe, source_lang="zh", target_lang="en")
    return {
        "wmt17_en_zh": recipe,
        "wmt17_zh_en": backwards,
        "wmt17_zh_en_multiref": replace(backwards, corpus=wmt.wmt17_multiref()),
    }


def _wmt20() -> dict[str, Recipe]:
    stated = "Gu & Kong 2021, section 4.1"
    sizes = (
        StatedSize("train", 16_000_000, 0.15, stated, "published"),
        StatedSize("train", 13_000_000, 0.15, stated),
    )
    # 32,000 pieces by sentencepiece after filtering by Bicleaner: Gu & Kong 2021, section 4.1.
    options = MappingProxyType(
        {
            "tokenizer": ["none"],
            "subword": "sentencepiece",
            "vocab_size": 32000,
            "max_tokens": 250,
            "filter_noise": [],
            "drop_duplicates": True,
            "replace_invalid_utf8": True,
        }
    )
    return {"wmt20_ja_en": Recipe(wmt.wmt20(), "ja", "en", options, sizes)}


def _iwslt14() -> dict[str, Recipe]:
    script = "fairseq's prepare-iwslt14.sh"
    sizes = (
        StatedSize("train", 157_000, 0.03, "Guo et al. 2020, section 5.1.1"),
        StatedSize("test", 6750, 0, script),
    )
    # Haviv et al. 2021, section 3, use fairseq's script: lower case, 10,000 joint merges, 1 to 175 words, ratio 1.5.
    options = MappingProxyType(
        {
            "lowercase": True,
            "normalise_punctuation": False,
            "bpe_merges": 10000,
            "max_tokens": 175,
            "max_ratio": 1.5,
            "count_words": True,
        }
    )
    return {"iwslt14_de_en": Recipe(iwslt14(), "de", "en", options, sizes)}


RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {**_multi30k(), **_enja(), **_wmt14(), **_wmt16(), **_wmt17(), **_wmt20(), **_iwslt14()}
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


def default_raw_folder(corpus: Corpus | Collection) -> Path:
    """A copy beside the repository if there is one, else where downloads go."""
    beside = ROOT.parent / "shared" / "data" / corpus.name
    return beside if beside.is_dir() else ROOT / "data-raw" / corpus.name


def recipe_files(
    corpus: Corpus, languages: tuple[str, str], folder: Path
) -> tuple[dict[str, SplitFiles], dict[Path, Download]]:
    """The corpus's files in ``folder``, under our names or the published ones, gzipped or plain.

    Returns:
        The files of each split, and which of them are not there yet and have to be fetched.
    """
    files: dict[str, SplitFiles] = {}
    missing: dict[Path, Download] = {}
    for split in SPLITS:
        sides: list[Path] = []
        for language in languages:
            path = _existing(corpus, folder, split, language)
            if path is None:
                stem = f"{split}.{language}"
                name = next(file for file in corpus.files if file.removesuffix(".gz") == stem)
                path = folder / name
                missing[path] = corpus.files[name]
            sides.append(path)
        files[split] = SplitFiles(sides[0], sides[1])
    return files, missing


def _existing(corpus: Corpus, folder: Path, split: str, language: str) -> Path | None:
    stems = (f"{split}.{language}", f"{corpus.published_splits[split]}.{language}")
    paths = (folder / f"{stem}{suffix}" for stem in stems for suffix in ("", ".gz"))
    return next((path for path in paths if path.is_file()), None)
