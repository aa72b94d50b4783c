"""Data sets of a few megabytes, published as plain files."""

from __future__ import annotations

from scripts.lib.corpora.model import Corpus
from scripts.lib.downloads import Download


def multi30k() -> Corpus:
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


def small_parallel_enja() -> Corpus:
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
