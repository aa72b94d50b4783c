"""N-gram language models: estimated with interpolated modified Kneser-Ney smoothing, written and read as ARPA."""

from nat_plugin.decoding.ngram_lm.arpa import BackoffModel, read_arpa, read_vocabulary, write_arpa
from nat_plugin.decoding.ngram_lm.counting import Corpus, corpus_of_sentences
from nat_plugin.decoding.ngram_lm.kneser_ney import FALLBACK_DISCOUNTS, NgramModel, estimate

__all__ = [
    "FALLBACK_DISCOUNTS",
    "BackoffModel",
    "Corpus",
    "NgramModel",
    "corpus_of_sentences",
    "estimate",
    "read_arpa",
    "read_vocabulary",
    "write_arpa",
]
