"""The task ``nat_translation``: fairseq's ``translation`` with our symbols, our batches and our decoding options."""

# No `from __future__ import annotations` here: fairseq's dataclass parser needs types, not strings.
import json
import logging
import struct
from argparse import Namespace
from typing import Any, Dict, List, Optional

import numpy as np
import torch
from fairseq.data import Dictionary, LanguagePairDataset, encoders
from fairseq.tasks import register_task
from fairseq.tasks.translation import TranslationTask
from fairseq.utils import resolve_max_positions

from nat_plugin.decoding.generator import NatGenerator
from nat_plugin.decoding.input_sampling import InputSampler, has_input_predictor
from nat_plugin.decoding.latent import has_latent
from nat_plugin.decoding.options import check_model, from_fairseq
from nat_plugin.decoding.reranking import TeacherReranker
from nat_plugin.errors import UserError
from nat_plugin.symbols import BLANK, MASK, words_digest
from nat_plugin.tasks.batches import even_batches
from nat_plugin.tasks.binarised import check_tokens, refuse_empty
from nat_plugin.tasks.candidate_options import CandidateOptions
from nat_plugin.tasks.candidates import with_candidates
from nat_plugin.tasks.config import NatTranslationConfig, decoding_options
from nat_plugin.tasks.dictionaries import add_special_symbols, load_dictionary

logger = logging.getLogger(__name__)

_DICTIONARIES = "dictionaries"  # in a checkpoint's task_state


@register_task("nat_translation", dataclass=NatTranslationConfig)
class NatTranslationTask(TranslationTask):
    """Non-autoregressive translation from one language to another.

    Both dictionaries end in ``<mask>`` and ``<blank>``, whichever command loads them. Decoding options live in the
    task's configuration, so that ``fairseq-generate``, ``fairseq-interactive`` and ``--eval-bleu`` share them. Every
    sentence that goes in comes out: no batch is dropped to reach a multiple, and over-long sentences are refused.
    """

    cfg: NatTranslationConfig

    def __init__(self, cfg: NatTranslationConfig, src_dict: Dictionary, tgt_dict: Dictionary) -> None:
        decoding_options(cfg).validate()
        self._refuse_unsupported(cfg)
        self.candidate_options = CandidateOptions.of(cfg)
        super().__init__(cfg, src_dict, tgt_dict)
        self.mask_idx = tgt_dict.index(MASK)
        self.blank_idx = tgt_dict.index(BLANK)
        self.sentences_read = 0  # by fairseq-interactive, which reads some at a time
        self.first_sentence = 0  # how many of them stand before the current data set
        if tgt_dict.unk() in (self.mask_idx, self.blank_idx):
            raise UserError(
                "the target dictionary lacks <mask> or <blank>: load it with nat_translation's load_dictionary."
            )

    @staticmethod
    def _refuse_unsupported(cfg: NatTranslationConfig) -> None:
        if cfg.num_batch_buckets:
            raise UserError(
                "--num-batch-buckets does not work with this fairseq (numpy dropped a name it uses): drop it."
            )
        if cfg.left_pad_target:
            raise UserError("--left-pad-target has no meaning for a non-autoregressive decoder: drop it.")
        if cfg.eval_bleu:
            for flag in ("eval_bleu_args", "eval_bleu_detok_args"):
                _check_json_object(f"--{flag.replace('_', '-')}", getattr(cfg, flag))
            if cfg.eval_bleu_detok not in encoders.TOKENIZER_REGISTRY:
                known = ", ".join(sorted(encoders.TOKENIZER_REGISTRY))
                raise UserError(f"--eval-bleu-detok {cfg.eval_bleu_detok} is no tokenizer of fairseq: use {known}.")

    def state_dict(self) -> Dict[str, Any]:
        """What a checkpoint keeps of the task: beside fairseq's, which dictionaries numbered the words."""
        return {**super().state_dict(), _DICTIONARIES: self._dictionary_digests()}

    def load_state_dict(self, state_dict: Dict[str, Any]) -> None:
        """Called wherever a model is read for this task.

        Raises:
            UserError: its checkpoint is of other dictionaries, which may well have as many words.
        """
        state = dict(state_dict)
        theirs, ours = state.pop(_DICTIONARIES, {}), self._dictionary_digests()
        different = [side for side in ours if theirs.get(side, ours[side]) != ours[side]]
        if different:
            raise UserError(
                f"the checkpoint was trained with another {' and another '.join(different)} dictionary than that of "
                f"{self.cfg.data}: name the data that it was trained on, or data binarised with its dictionaries."
            )
        super().load_state_dict(state)

    def _dictionary_digests(self) -> Dict[str, str]:
        sides = {"source": self.src_dict, "target": self.tgt_dict}
        return {side: words_digest(dictionary.symbols) for side, dictionary in sides.items()}

    @classmethod
    def load_dictionary(cls, filename: str) -> Dictionary:
        return load_dictionary(filename)

    @classmethod
    def build_dictionary(
        cls, filenames: List[str], workers: int = 1, threshold: int = -1, nwords: int = -1, padding_factor: int = 8
    ) -> Dictionary:
        dictionary = super().build_dictionary(filenames, workers, threshold, nwords, padding_factor)
        return add_special_symbols(dictionary)

    def build_dataset_for_inference(
        self, src_tokens: List[torch.Tensor], src_lengths: List[int], constraints: Optional[torch.Tensor] = None
    ) -> LanguagePairDataset:
        if constraints is not None:
            raise UserError("--constraints is not supported by non-autoregressive decoding: drop it.")
        refuse_empty(src_lengths, "input sentence", before=self.sentences_read)
        self.first_sentence = self.sentences_read
        self.sentences_read += len(src_lengths)
        return LanguagePairDataset(
            src_tokens,
            src_lengths,
            self.source_dictionary,
            tgt_dict=self.target_dictionary,
            left_pad_source=self.cfg.left_pad_source,
        )

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, **kwargs: Any) -> None:
        where = f"split '{split}' for {self.cfg.source_lang}-{self.cfg.target_lang} in {self.cfg.data}"
        try:
            super().load_dataset(split, epoch=epoch, combine=combine, **kwargs)
        except FileNotFoundError as error:
            raise UserError(
                f"there is no binarised {where}: check folder, --gen-subset and languages, or binarise with "
                "scripts/prepare.py."
            ) from error
        except (AssertionError, ValueError, struct.error) as error:
            raise UserError(
                f"the binarised {where} is damaged, empty, or has sides of unequal length ({error}): binarise it again."
            ) from error
        self.first_sentence = 0
        dataset = self.datasets[split]
        for side, dictionary in ((dataset.src, self.src_dict), (dataset.tgt, self.tgt_dict)):
            check_tokens(side, dictionary, where)
        refuse_empty(dataset.src_sizes, f"source sentence of split '{split}'")
        if dataset.tgt_sizes is not None and split == self.cfg.train_subset:
            refuse_empty(dataset.tgt_sizes, f"target sentence of split '{split}'")
        if self.candidate_options is not None and split == self.cfg.train_subset:
            self.datasets[split] = with_candidates(dataset, split, self, self.candidate_options, combine=combine)

    def filter_indices_by_size(
        self, indices: Any, dataset: Any, max_positions: Any = None, ignore_invalid_inputs: bool = False
    ) -> Any:
        """As fairseq's, but what is too long is refused with its number, or counted where it is left out.

        Raises:
            UserError: sentences are too long and may not be left out, or they are a whole split.
        """
        kept, too_long = dataset.filter_indices_by_size(indices, max_positions)
        if not too_long:
            return kept
        example = self._describe_too_long(dataset, too_long[0], max_positions)
        is_split = any(dataset is split for split in self.datasets.values())  # and not lines that were typed in
        if not ignore_invalid_inputs or (is_split and not len(kept)):
            raise UserError(
                f"{len(too_long)} of {len(indices)} sentences are too long ({example}): shorten them, raise "
                "--max-tokens where that is the limit, or --max-source-positions and --max-target-positions (and train "
                "with that), or leave some out with --skip-invalid-size-inputs-valid-test."
            )
        logger.warning("%d of %d sentences are too long and are left out: %s", len(too_long), len(indices), example)
        return kept

    def _describe_too_long(self, dataset: Any, index: int, limits: Any) -> str:
        source, target = (int(size) for size in np.broadcast_to(dataset.size(index), 2))
        sides = f"{source} source" + (f" and {target} target" if target else "")
        source_limit, target_limit = limits if isinstance(limits, (tuple, list)) else (limits, limits)
        return (
            f"number {self.first_sentence + index + 1} has {sides} tokens with its end marker, at most {source_limit} "
            f"and {target_limit} fit"
        )

    def get_batch_iterator(
        self, dataset: Any, max_tokens: Any = None, max_sentences: Any = None, max_positions: Any = None, **kwargs: Any
    ) -> Any:
        """As fairseq's, but no sentence is dropped and every worker gets the same number of batches.

        fairseq's batcher drops the last batch when it is no multiple of ``required_batch_size_multiple``, and zeroes
        the sample size of a worker that runs out of batches: both are avoided here. Each epoch makes its batches anew:
        fairseq otherwise keeps those of the epoch that the process started in, and a resumed training sees others. A
        sentence of more than ``max_tokens`` is too long, as it is for fairseq in training alone.
        """
        kwargs |= {"required_batch_size_multiple": 1, "disable_iterator_cache": True}
        if max_tokens is not None:
            max_positions = resolve_max_positions(max_positions, max_tokens)
        with even_batches(dataset, kwargs.get("num_shards", 1)):
            return super().get_batch_iterator(dataset, max_tokens, max_sentences, max_positions, **kwargs)

    def build_model(self, cfg: Any, from_checkpoint: bool = False) -> Any:
        model = super().build_model(cfg, from_checkpoint)
        if not hasattr(model, "decode_canvas"):
            raise UserError(
                f"--task nat_translation trains non-autoregressive models, and --arch {cfg._name} is none of ours: use "
                "--arch cmlm, or --task translation for an autoregressive model (latent alignments: --criterion "
                "causal_axe)."
            )
        return model

    def build_criterion(self, cfg: Any, *args: Any, **kwargs: Any) -> Any:
        criterion = super().build_criterion(cfg, *args, **kwargs)
        if not hasattr(criterion, "word_loss"):
            raise UserError(
                f"--criterion {cfg._name} does not train non-autoregressive models of this task: use --criterion "
                "nat_cross_entropy, nat_axe or another of ours."
            )
        if self.candidate_options is not None and criterion.upsampled:
            raise UserError(
                f"--target-candidates needs one slot a target token, which --criterion {cfg._name} has not: use "
                "--criterion nat_cross_entropy, or drop it."
            )
        return criterion

    def build_generator(
        self,
        models: List[Any],
        args: Any,
        seq_gen_cls: Any = None,
        extra_gen_cls_kwargs: Optional[Dict[str, Any]] = None,
        prefix_allowed_tokens_fn: Any = None,
    ) -> NatGenerator:
        """Make the decoder for ``models``.

        Args:
            args: fairseq's GenerationConfig, or the Namespace that ``--eval-bleu-args`` gave, whose keys override the
                task's decoding options.
        """
        if not all(hasattr(model, "decode_canvas") for model in models):
            raise UserError(
                "--task nat_translation decodes non-autoregressive models only: for an autoregressive checkpoint use "
                "--task translation."
            )
        own = decoding_options(self.cfg)
        options = own.override(vars(args)) if isinstance(args, Namespace) else from_fairseq(own, args)
        for model in models:
            check_model(
                options,
                upsamples=model.upsamples,
                has_latent=has_latent(model),
                has_input_predictor=has_input_predictor(model),
            )
        # before --remove-bpe and the like let the dictionary grow
        reranker = None
        if options.reranker:
            reranker = TeacherReranker.load(options.reranker, self)
            for model in models:
                reranker.check_room(*model.max_positions())
        sampler = None
        if options.input_sampling:
            sampler = InputSampler.load(options.vanilla_nat, self, seed=options.input_sampling_seed)
        return NatGenerator(self.target_dictionary, options, reranker, sampler)

    def inference_step(
        self, generator: Any, models: Any, sample: Any, prefix_tokens: Any = None, constraints: Any = None
    ) -> Any:
        if prefix_tokens is not None:
            raise UserError("--prefix-size is not supported by non-autoregressive decoding: drop it.")
        return super().inference_step(generator, models, sample, constraints=constraints)


def _check_json_object(flag: str, text: str) -> None:
    try:
        parsed = json.loads(text)
    except ValueError as error:
        raise UserError(f"""{flag} {text} is not JSON ({error}): write it as '{{"iterations": 4}}'.""") from error
    if not isinstance(parsed, dict):
        raise UserError(f"""{flag} {text} is no JSON object: write it as '{{"iterations": 4}}'.""")
