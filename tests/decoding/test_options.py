"""Decoding options: ranges, overrides, fairseq's own flags."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from fairseq.dataclass.configs import GenerationConfig

from nat_plugin.decoding.options import DecodingOptions, check_model, from_fairseq
from nat_plugin.errors import UserError
from tests import helpers


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"length_multiplier": 0.0}, "--length-multiplier must be above 0"),
        ({"length_multiplier": -1.0}, "--length-multiplier must be above 0"),
        ({"length_multiplier": float("nan")}, "--length-multiplier must be above 0"),
        ({"length_candidates": 0}, "--length-candidates must be at least 1"),
        ({"iterations": 0}, "--iterations must be at least 1"),
        ({"blank_penalty": float("nan")}, "--blank-penalty must be finite"),
        ({"nbest": 3, "length_candidates": 2}, "add --length-candidates 3"),
        ({"nbest": 3, "ctc_beam": 2}, "for a CTC model --ctc-beam 3"),
        ({"nbest": 3, "ctc_beam": 9, "ctc_candidates": 2}, "--nbest 3 needs at least as many candidates"),
        ({"reranker": "teacher.pt"}, "--reranker has nothing to choose from: add --length-candidates"),
        ({"reranker": "teacher.pt", "ctc_beam": 1}, "--reranker has nothing to choose from"),
        ({"reranker": "teacher.pt", "ctc_beam": 4, "lenpen": float("nan")}, "--lenpen must be finite"),
        ({"lenpen": 0.6}, "--lenpen is the length penalty of the teacher that chooses: add --reranker"),
        ({"ctc_beam": -1}, "--ctc-beam must be 0 or more"),
        ({"ctc_beam": 2, "ctc_candidates": -1}, "--ctc-candidates must be 0 or more"),
        ({"ctc_beam": 2, "ctc_beam_tokens": 0}, "--ctc-beam-tokens must be at least 1"),
        ({"ctc_beam": 2, "ctc_search": "viterbi"}, "--ctc-search must be flashlight or torch"),
        ({"ctc_beam": 2, "ctc_search": "torch", "ctc_workers": 2}, "drop --ctc-workers"),
        ({"ctc_beam": 2, "ngram_lm_weight": 0.4}, "give --ngram-lm-path"),
        ({"ctc_beam": 2, "token_bonus": float("inf")}, "--token-bonus must be finite"),
        ({"ctc_beam": 2, "length_bonus_form": "square"}, "--length-bonus-form must be log or linear"),
        ({"ngram_lm_path": "lm.arpa"}, "--ngram-lm-path belongs to CTC beam search: add --ctc-beam 20"),
        ({"token_bonus": 1.0}, "--token-bonus belongs to CTC beam search"),
        ({"ctc_workers": 2}, "--ctc-workers belongs to CTC beam search"),
        ({"latent_samples": 0}, "--latent-samples must be at least 1"),
        ({"latent_temperature": float("nan")}, "--latent-temperature must be 0 or more"),
        ({"latent_samples": 5, "latent_temperature": 0.0}, "makes all --latent-samples equal"),
        ({"input_sampling": True}, "add --vanilla-nat CHECKPOINT"),
        ({"vanilla_nat": "vanilla.pt"}, "--vanilla-nat belongs to --input-sampling"),
    ],
)
def test_refuses_values_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        replace(DecodingOptions(), **values).validate()


@pytest.mark.parametrize(
    ("values", "count"),
    [
        ({}, 1),
        ({"length_candidates": 3, "latent_samples": 2}, 6),
        ({"ctc_beam": 20}, 20),
        ({"ctc_beam": 20, "latent_samples": 5}, 100),
        ({"ctc_beam": 20, "latent_samples": 5, "ctc_candidates": 1}, 5),
        ({"ctc_beam": 4, "ctc_candidates": 9}, 4),
    ],
)
def test_counts_the_candidates(values: dict[str, Any], count: int) -> None:
    assert DecodingOptions(**values).validate().candidates == count
    assert DecodingOptions(**values, nbest=count).validate().nbest == count


@pytest.mark.parametrize(
    ("values", "flag"), [({"iterations": 4}, "--iterations 4"), ({"remask_neighbours": True}, "--remask-neighbours")]
)
def test_refuses_what_a_ctc_model_has_no_use_for(values: dict[str, Any], flag: str) -> None:
    options = DecodingOptions(**values).validate()
    check_model(options, upsamples=False, has_latent=False)
    with pytest.raises(UserError, match=f"{flag} has no meaning for a model with --upsample-scale: drop it"):
        check_model(options, upsamples=True, has_latent=False)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ctc_beam": 20}, "--ctc-beam 20 searches the slots of a CTC model, and this model has no --upsample-scale"),
        ({"latent_samples": 5}, "--latent-samples 5 draws a latent variable, and this model has none"),
        ({"input_sampling": True, "vanilla_nat": "v.pt"}, "--input-sampling needs a model that was trained with"),
    ],
)
def test_refuses_what_the_model_lacks(values: dict[str, Any], message: str) -> None:
    options = DecodingOptions(**values).validate()
    with pytest.raises(UserError, match=message):
        check_model(options, upsamples=False, has_latent=False)
    check_model(options, upsamples=True, has_latent=True, has_input_predictor=True)


def test_the_task_names_every_option_and_none_as_fairseq_does() -> None:
    """fairseq swallows a second flag of the same name silently."""
    from fairseq.dataclass import configs
    from fairseq.tasks.translation import TranslationConfig

    from nat_plugin.tasks.config import NatTranslationConfig, decoding_options

    ours = {entry.name for entry in fields(NatTranslationConfig)} - {entry.name for entry in fields(TranslationConfig)}
    missing = {entry.name for entry in fields(DecodingOptions)} - ours
    assert missing == {"nbest", "retain_history", "lenpen"}  # fairseq has them
    groups = [group for name, group in vars(configs).items() if name.endswith("Config")]
    assert len(groups) > 10
    for group in groups:
        assert ours.isdisjoint(entry.name for entry in fields(group)), group
    task = helpers.task(ctc_beam=7, ctc_search="torch", token_bonus=0.5, length_bonus_form="linear")
    expected = DecodingOptions(ctc_beam=7, ctc_search="torch", token_bonus=0.5, length_bonus_form="linear")
    assert decoding_options(task.cfg) == expected
    assert all(type(value) in (int, float, bool, str) for value in vars(decoding_options(task.cfg)).values())


def test_eval_bleu_args_override_and_refuse_unknown_keys() -> None:
    options = DecodingOptions(length_candidates=2).override({"iterations": 4, "beam": 5})
    assert (options.iterations, options.length_candidates) == (4, 2)
    with pytest.raises(UserError, match="unknown options lenght_candidates"):
        options.override({"lenght_candidates": 3})


def test_fairseq_flags_keep_their_meaning() -> None:
    given = GenerationConfig(
        iter_decode_with_beam=5, iter_decode_max_iter=3, nbest=2, retain_iter_history=True, lenpen=2
    )
    options = from_fairseq(DecodingOptions(reranker="teacher.pt"), given)
    assert (options.length_candidates, options.iterations, options.nbest) == (5, 4, 2)
    assert options.retain_history
    assert options.lenpen == 2
    ours_win = from_fairseq(DecodingOptions(length_candidates=3, iterations=10, reranker="teacher.pt"), given)
    assert (ours_win.length_candidates, ours_win.iterations) == (3, 10)
    assert from_fairseq(DecodingOptions(), GenerationConfig()).iterations == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"sampling": True}, "--sampling is not supported by non-autoregressive decoding: drop it."),
        ({"score_reference": True}, "--score-reference"),
        ({"replace_unk": "align.txt"}, "--replace-unk"),
        ({"retain_dropout": True}, "--retain-dropout"),
        ({"unnormalized": True}, "--unnormalized"),
        ({"no_repeat_ngram_size": 2}, "--no-repeat-ngram-size .*: drop it, or use --deduplicate"),
        ({"max_len_b": 20}, "--max-len-b .*: drop it, or use --length-multiplier"),
    ],
)
def test_refuses_what_does_not_apply(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_fairseq(DecodingOptions(), GenerationConfig(**config))


def test_takes_what_changes_no_translation() -> None:
    harmless = GenerationConfig(beam=1, print_step=True, no_early_stop=True, iter_decode_force_max_iter=True)
    assert from_fairseq(DecodingOptions(), harmless) == DecodingOptions()
