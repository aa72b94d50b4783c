"""The translation task of IWSLT'14: TED talks."""

from __future__ import annotations

from scripts.lib.corpora.model import Collection, Text
from scripts.lib.downloads import Download

_TESTS = ("TED.dev2010", "TEDX.dev2012", "TED.tst2010", "TED.tst2011", "TED.tst2012")


def iwslt14() -> Collection:
    """German-English, divided as by fairseq's prepare-iwslt14.sh: every 23rd training pair is for validation, and the
    test set is five of the task's sets one after another.

    WIT3, which published the archive, has moved; the first address is fairseq's copy. Nobody publishes a checksum.
    """
    name = "de-en.tgz"
    files = {
        name: Download(
            ("https://dl.fbaipublicfiles.com/fairseq/data/iwslt14/de-en.tgz",),
            mirrors=("https://wit3.fbk.eu/archive/2014-01/texts/de/en/de-en.tgz",),
        )
    }
    languages = ("de", "en")
    texts = {
        "train": (Text(name, "talks", {language: f"de-en/train.tags.de-en.{language}" for language in languages}),),
        "test": tuple(
            Text(name, "segments", {language: f"de-en/IWSLT14.{test}.de-en.{language}.xml" for language in languages})
            for test in _TESTS
        ),
    }
    return Collection("iwslt14", files, texts, held_out_every=23)
