"""Every named configuration composes, fairseq's own parser takes it, and mistakes get one clear sentence."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
from fairseq import options
from hypothesis import given
from hypothesis import strategies as st

import nat_plugin
from nat_plugin.errors import UserError
from scripts.lib import config as config_module
from scripts.lib import launch
from scripts.lib.config import CONFIG_FOLDER, compose_run, to_flags
from scripts.lib.machine import plan_batch
from scripts.lib.runs import Run
from scripts.train import build_commands

# Gu & Kong 2021, appendix A: a label smoothing of their own
GU_KONG = {
    "nat",
    "vae_nat",
    "axe",
    "axe_vae",
    "axe_rnd",
    "axe_glat",
    "ctc",
    "ctc_vae",
    "ctc_rnd",
    "ctc_glat",
    "ctc_vae_glat",
}
# Haviv et al. 2021: their losses themselves are compared
WITHOUT_SMOOTHING = {"at_ce", "at_axe", "at_causal_axe", "at_ctc_doubled"}
ONE_PROCESS = launch.Layout(1, [{"cpu": True}])


def names(group: str) -> list[str]:
    """The choices of a group; what other files are built on is none."""
    return sorted(path.stem for path in (CONFIG_FOLDER / group).glob("*.yaml") if not path.stem.endswith("_shared"))


def compose(*words: str) -> dict[str, Any]:
    return compose_run(["data=generated", "method=cmlm_axe", "machine=cpu", *words])


def parse(config: dict[str, Any]) -> Any:
    """The configuration as fairseq-train would build it from the command."""
    nat_plugin.register()
    from fairseq import options
    from fairseq.dataclass.utils import convert_namespace_to_omegaconf

    [command] = build_commands(config, Run(Path("run")), ONE_PROCESS)
    parsed = options.parse_args_and_arch(options.get_training_parser(), command[1:])
    return convert_namespace_to_omegaconf(parsed)


@pytest.mark.parametrize(
    ("method", "size"),
    [(method, "small") for method in names("method")]
    + [
        (method, size)
        for method in ("teacher", "stock_cmlm", "cmlm_axe")
        for size in names("size")
        if size != "small" and not size.startswith("ladder")  # as others, in other numbers
    ],
)
def test_fairseq_parses_every_method_and_every_size(method: str, size: str, tiny_data: Path) -> None:
    # a prepared folder, as methods that average by BLEU need; and any file to start from
    more = [f"start_from={tiny_data / 'prepare.json'}"] if "oaxe" in method else []
    more += [f"data.candidates=[{tiny_data}]"] if "dynamic_kd" in method else []
    config = compose_run([f"data={tiny_data}", f"method={method}", f"size={size}", "machine=cpu", *more])
    parsed = parse(config)
    flags = config["fairseq"]
    assert parsed.task._name == flags["task"]
    assert parsed.criterion._name == flags["criterion"]
    smoothing = 0.01 if method in GU_KONG else 0.0 if method in WITHOUT_SMOOTHING else 0.1
    assert parsed.criterion.label_smoothing == smoothing
    assert parsed.optimization.max_update == flags["max_update"]
    assert parsed.dataset.required_batch_size_multiple == 1
    model = parsed.model if hasattr(parsed.model, "encoder_embed_dim") else parsed.model.encoder
    width = model.encoder_embed_dim if hasattr(model, "encoder_embed_dim") else model.embed_dim
    assert width == flags["encoder_embed_dim"]


@pytest.mark.parametrize("data", [name for name in names("data") if name != "folder"])
def test_every_data_set_composes(data: str) -> None:
    config = compose(f"data={data}", "method=teacher")
    assert config["run"] == f"runs/{data}/teacher_small"
    assert config["data"]["path"] == f"data-bin/{data}"


@pytest.mark.parametrize(
    ("budget", "machine"),
    [(budget, "cpu") for budget in names("budget")] + [("cpu", name) for name in names("machine")],
)
def test_every_budget_and_machine_composes(budget: str, machine: str) -> None:
    config = compose(f"budget={budget}", f"machine={machine}")
    assert (config["budget"]["name"], config["machine"]["name"]) == (budget, machine)
    assert config["fairseq"]["warmup_updates"] < config["fairseq"]["max_update"]


def test_a_rate_that_ends_at_zero(tiny_data: Path) -> None:
    """schedule=linear: fairseq takes it, it ends where the training does, and what it ends in is translated with."""
    words = [f"data={tiny_data}", "method=cmlm_axe", "machine=cpu", "schedule=linear", "fairseq.max_update=700"]
    config = compose_run(words)
    assert config["average"] == {"kind": "last", "count": 1, "metric": "loss"}
    parsed = parse(config).lr_scheduler
    assert (parsed._name, parsed.power, parsed.end_learning_rate) == ("polynomial_decay", 1, 0)
    assert (parsed.warmup_updates, parsed.total_num_update) == (500, 700)
    # one training among others, as scripts/reproduce.py puts their words together
    assert compose_run([*words, "schedule=inverse_sqrt"]) == compose_run(
        [word for word in words if "linear" not in word]
    )


def test_axe_on_the_papers_budget_is_what_section_4_1_says() -> None:
    config = compose("size=base", "budget=paper")
    expected = {
        "optimizer": "adam", "adam_betas": "(0.9, 0.999)", "adam_eps": 1e-6, "lr": 5e-4, "warmup_updates": 10_000,
        "lr_scheduler": "inverse_sqrt", "dropout": 0.3, "weight_decay": 0.01, "label_smoothing": 0.1, "init": "bert",
        "max_update": 300_000, "encoder_layers": 6, "decoder_layers": 6, "encoder_attention_heads": 8,
        "encoder_embed_dim": 512, "encoder_ffn_embed_dim": 2048,
    }  # fmt: skip
    assert {key: config["fairseq"][key] for key in expected} == expected
    assert config["batch_tokens"] == 128 * 1024
    assert config["average"] == {"kind": "best", "count": 5, "metric": "loss"}
    assert config["generate"]["length_candidates"] == 5


def test_latent_alignments_on_autoregressive_models_as_the_paper_has_them() -> None:
    """Haviv et al. 2021 §4; the losses differ in nothing else."""
    configs = {method: compose(f"method={method}", "size=iwslt", "budget=iwslt") for method in WITHOUT_SMOOTHING}
    expected = {
        "encoder_layers": 6, "decoder_layers": 6, "encoder_embed_dim": 512, "decoder_ffn_embed_dim": 1024,
        "encoder_attention_heads": 4, "max_update": 50_000, "optimizer": "adam", "task": "translation",
        "arch": "transformer", "validate_interval_updates": 2500, "save_interval_updates": 2500,
    }  # fmt: skip
    own = ("criterion", "skip_target_penalty", "predictions_per_target")
    shared = [{key: value for key, value in each["fairseq"].items() if key not in own} for each in configs.values()]
    assert all(each == shared[0] for each in shared)
    assert {key: shared[0][key] for key in expected} == expected
    assert all(each["batch_tokens"] == 4096 and each["generate"]["beam"] == 5 for each in configs.values())
    assert all(each["average"] == {"kind": "best", "count": 1, "metric": "loss"} for each in configs.values())
    assert {method: each["fairseq"]["criterion"] for method, each in configs.items()} == {
        "at_ce": "label_smoothed_cross_entropy", "at_axe": "axe", "at_causal_axe": "causal_axe",
        "at_ctc_doubled": "ctc_ar",
    }  # fmt: skip


def test_proxy_targets_as_the_paper_has_them() -> None:
    """Huang et al. 2022, appendix G; Table 2's rows differ in the target alone, and OaXE in what it starts from."""
    methods = ["vanilla", *(f"vanilla_axe_delta{delta}" for delta in (1, 5, 10)), "vanilla_oaxe_10k"]
    configs = {method: compose(f"method={method}", "size=base", "budget=mple") for method in methods}
    expected = {
        "arch": "nat_base", "copying": "none", "masking": "full", "dropout": 0.1, "weight_decay": 0.01,
        "label_smoothing": 0.1, "max_update": 300_000, "warmup_updates": 10_000, "lr": 5e-4,
    }  # fmt: skip
    own = ("criterion", "skip_target_penalty")
    shared = [{key: value for key, value in each["fairseq"].items() if key not in own} for each in configs.values()]
    assert all(each == shared[0] for each in shared)
    assert {key: shared[0][key] for key in expected} == expected
    for config in configs.values():
        assert config["batch_tokens"] == 64 * 1024
        assert config["average"] == {"kind": "best", "count": 5, "metric": "bleu"}
        assert config["generate"]["length_candidates"] == 1
    tuned = compose("method=vanilla_oaxe", "size=base", "budget=mple_fine_tuning", "start_from=some where/x=1.pt")
    assert tuned["start_from"] == "some where/x=1.pt"
    assert (tuned["fairseq"]["lr"], tuned["fairseq"]["lr_scheduler"]) == (1e-5, "fixed")
    assert (tuned["fairseq"]["max_update"], tuned["fairseq"]["warmup_updates"]) == (100_000, 0)
    assert configs["vanilla_oaxe_10k"]["start_from"].endswith("/vanilla_base/checkpoints/pretrained_10k.pt")


@pytest.mark.parametrize("budget", ["cpu", "gpu", "demo", "mple"])
def test_fine_tuning_keeps_the_papers_proportions(budget: str) -> None:
    whole, fine = (compose(f"budget={name}") for name in (budget, f"{budget}_fine_tuning"))
    assert fine["batch_tokens"] == whole["batch_tokens"]
    assert fine["fairseq"]["max_update"] == whole["fairseq"]["max_update"] // 3
    assert fine["fairseq"]["lr"] == pytest.approx(whole["fairseq"]["lr"] / 50)


TABLE_6 = [(32, 128, 2, 2), (48, 192, 2, 2), (64, 256, 2, 2), (96, 384, 2, 2), (128, 512, 3, 4), (256, 1024, 3, 4),
           (512, 2048, 6, 8)]  # fmt: skip


def test_the_size_ladder_is_table_6() -> None:
    for width, ffn, layers, heads in TABLE_6:
        flags = compose("method=teacher", f"size=ladder_{width}")["fairseq"]
        for side in ("encoder", "decoder"):
            found = [flags[f"{side}_{key}"] for key in ("embed_dim", "ffn_embed_dim", "layers", "attention_heads")]
            assert found == [width, ffn, layers, heads]
        assert flags["dropout"] == 0.1


@pytest.mark.parametrize(
    ("deep", "same_width", "more"),
    [("base_12_1", "base", {}), ("tiny_12_1", "tiny", {"encoder_normalize_before": True})],
)
def test_a_deep_encoder_and_a_shallow_decoder_are_the_size_with_other_layers(
    deep: str, same_width: str, more: dict[str, bool]
) -> None:
    composed, plain = (compose("method=teacher", f"size={size}") for size in (deep, same_width))
    assert composed["fairseq"] == plain["fairseq"] | {"encoder_layers": 12, "decoder_layers": 1} | more
    assert composed["size"] == plain["size"] | {"name": deep}


TABLE_3 = {
    "vanilla": {"masking": "full"},
    "mple_cmlm": {"masking": "uniform"},
    "mple_fixed_ratio": {"masking": "fixed_ratio", "glancing_ratio": "0.2"},
    "mple_glat": {"masking": "glancing"},
    "mple_glat_levenshtein": {"masking": "glancing", "glancing_distance": "levenshtein"},
    "mple_glat_p_ref": {"masking": "glancing", "glancing_choice": "p_ref"},
    "mple_glat_one_minus_p_ref": {"masking": "glancing", "glancing_choice": "one_minus_p_ref"},
}


def test_the_proxy_inputs_of_huangs_table_3_differ_in_their_rule_alone() -> None:
    """Huang et al. 2022, §E.6: GLAT's ratio falls from .5 to .3 and its numbers are rounded down."""
    parsed = {}
    for method, rule in TABLE_3.items():
        config = compose(f"method={method}", "size=base", "budget=paper", "data=multi30k_en_de_kd")
        assert config["average"] == {"kind": "best", "count": 5, "metric": "bleu"}
        assert (config["generate"]["length_candidates"], config["generate"]["iterations"]) == (1, 1)
        parsed[method] = parse(config | {"average": {**config["average"], "metric": "loss"}})  # needs no data folder
        model = dict(parsed[method].model)
        expected = {
            "glancing_ratio": "0.5:0.3@200000" if rule["masking"] == "glancing" else "0.5",
            "glancing_distance": "hamming", "glancing_choice": "uniform", **rule,
        }  # fmt: skip
        found = {key: getattr(model[key], "value", model[key]) for key in expected}
        assert found == expected, method
        assert getattr(model["glancing_count"], "value", model["glancing_count"]) == "floor"
        assert model["input_predictor"] == (method != "vanilla")
    of_rule = ("masking", "glancing_ratio", "glancing_distance", "glancing_choice", "input_predictor")
    models = [{key: value for key, value in dict(each.model).items() if key not in of_rule} for each in parsed.values()]
    assert all(model == models[0] for model in models)
    assert all(each.criterion == parsed["vanilla"].criterion for each in parsed.values())
    assert parsed["mple_glat"].criterion._name == "nat_cross_entropy"


def test_the_models_of_huangs_table_4_are_those_of_tables_2_and_3() -> None:
    """Huang et al. 2022, §4: only how Z and T are obtained differs; Dynamic KD needs no input predictor."""
    of_table_3, of_table_4 = (compose(f"method={method}", "size=base") for method in ("mple_glat", "vanilla_glat"))
    assert of_table_3["fairseq"] == of_table_4["fairseq"] | {"input_predictor": True}
    assert of_table_3["average"] == of_table_4["average"]
    assert of_table_4["fairseq"]["copying"] == compose("method=vanilla")["fairseq"]["copying"] == "none"


KD = {"base": "data=multi30k_en_de_kd", "big": "data=multi30k_en_de_kd_big"}
TABLE_5 = [
    ("teacher", "base", None), ("teacher", "big", None),
    ("teacher", "base_12_1", None), ("teacher", "base_12_1", "base"), ("teacher", "base_12_1", "big"),
    ("ctc", "base", None), ("ctc", "base", "base"), ("ctc", "base", "big"), ("ctc", "big", "big"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "size", "teacher"), TABLE_5)
def test_every_model_of_gu_and_kongs_table_5(method: str, size: str, teacher: str | None) -> None:
    config = compose(KD[teacher] if teacher else "data=multi30k_en_de", f"method={method}", f"size={size}")
    parsed = parse(config).model
    width, ffn, layers = {"base": (512, 2048, (6, 6)), "big": (1024, 4096, (6, 6)), "base_12_1": (512, 2048, (12, 1))}[
        size
    ]
    assert (parsed.encoder_embed_dim, parsed.decoder_ffn_embed_dim) == (width, ffn)
    assert (parsed.encoder_layers, parsed.decoder_layers) == layers
    kind = {None: "", "base": "_kd", "big": "_kd_big"}[teacher]
    assert config["run"] == f"runs/multi30k_en_de{kind}/{method}_{size}"


@pytest.mark.parametrize("method", ["vanilla_glat", "vanilla"])
def test_dynamic_kd_is_its_method_with_the_candidates_of_the_data(method: str) -> None:
    """Huang et al. 2022, Table 10 and appendix F."""
    plain = compose("data=multi30k_en_de", f"method={method}")
    composed = compose("data=multi30k_en_de", f"method={method}_dynamic_kd")
    folders = ":".join(f"data-bin/multi30k_en_de_kd_{size}" for size in ("tiny", "small", "base", "big"))
    own = {"target_candidates": folders, "candidate_weights": [0.7, 0.6, 1.3, 1.5, 2.3], "candidate_bleu_factor": 0.2}
    assert composed["fairseq"] == plain["fairseq"] | own  # compared with it, it differs in nothing else
    parsed = parse(composed | {"average": {**composed["average"], "metric": "loss"}}).task  # needs no data folder
    assert (parsed.target_candidates, parsed.candidate_weights) == (folders, "0.7,0.6,1.3,1.5,2.3")
    without = compose("data=multi30k_en_de", f"method={method}_dynamic_kd", "fairseq.candidate_bleu_factor=0")
    assert without["fairseq"]["candidate_bleu_factor"] == 0


def test_dynamic_kd_needs_candidates(tiny_data: Path) -> None:
    with pytest.raises(UserError, match=r"the data name no folders of them: add data.candidates=\[DIR,DIR\]"):
        compose_run([f"data={tiny_data}", "method=vanilla_glat_dynamic_kd", "machine=cpu"])
    config = compose_run(
        [f"data={tiny_data}", "method=vanilla_glat_dynamic_kd", "machine=cpu", "data.candidates=[a,b/c]"]
    )
    assert config["fairseq"]["target_candidates"] == "a:b/c"
    assert parse(config).task.candidate_weights == ""


def test_the_command_line_wins() -> None:
    config = compose(
        "size=tiny", "fairseq.dropout=0.5", "fairseq.clip_norm=2", "run=some where/x=1", "average.kind=last"
    )
    assert config["fairseq"]["dropout"] == 0.5
    assert config["fairseq"]["clip_norm"] == 2
    assert config["run"] == "some where/x=1"
    assert config["average"]["kind"] == "last"


def test_a_prepared_folder_is_data_without_a_file_of_its_own(tiny_data: Path) -> None:
    config = compose_run([f"data={tiny_data}", "method=teacher", "machine=cpu"])
    assert config["data"] == {
        "name": "data", "path": str(tiny_data), "source_lang": "aa", "target_lang": "bb", "share_embeddings": "all",
        "candidates": None, "candidate_weights": None,
    }  # fmt: skip
    assert config["fairseq"]["share_all_embeddings"] is True


def test_separate_dictionaries_share_no_source_embeddings() -> None:
    assert compose("data=small_parallel_enja", "method=teacher")["fairseq"]["share_all_embeddings"] is False
    assert compose("data=small_parallel_enja")["fairseq"]["share_embeddings"] == "decoder"


def test_an_absent_machine_is_what_is_found_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config_module, "detect_machine", lambda: "v100")
    for words in ([], ["machine=auto"]):
        assert compose_run(["data=generated", "method=teacher", *words])["machine"]["precision"] == "fp16"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["method=nothing"], ["there is no method=nothing: ", "cmlm_axe"]),
        (["method=ctcc"], ["there is no method=ctcc: did you mean ctc?"]),
        (["data=nowhere"], ["there is no data=nowhere: ", "multi30k_en_de"]),
        (["data=data-bin/nowhere"], ["there is no data folder data-bin/nowhere (from /"]),
        (["fairseq.lr"], ["fairseq.lr", "key=value"]),
        (["speed=3"], ["there is no setting 'speed': write fairseq.speed=", "generate.speed="]),
        (["+upsample_scale=2"], ["'+upsample_scale=2' adds a key that nothing reads: write fairseq.KEY=VALUE"]),
        (["fairseq.lr='x"], ["fairseq.lr"]),
        (["fairseq.max_tokens=100"], ["fairseq.max_tokens", "machine.max_tokens"]),
        (["fairseq.fp16=true"], ["fairseq.fp16", "machine.precision"]),
        (["machine.keep_freed_memory=perhaps"], ["machine.keep_freed_memory=perhaps", "True, False"]),
        (["machine.precision=fp16"], ["machine.precision=fp16", "GPU"]),
        (["average.kind=mean"], ["average.kind=mean", "best, last, none"]),
        (["average.count=0"], ["average.count=0"]),
        (["batch_tokens=-1"], ["batch_tokens=-1"]),
        (["fairseq.warmup_updates=0"], ["fairseq.warmup_updates=0"]),
        (["machine.processes=two"], ["machine.processes=two"]),
        (["method=vanilla_oaxe"], ["method=vanilla_oaxe", "start_from="]),
        (["fairseq.finetune_from_model=x.pt"], ["fairseq.finetune_from_model", "start_from"]),
    ],
)
def test_mistakes_get_one_sentence(words: list[str], parts: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        compose(*words)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_a_run_in_a_folder_of_ones_own_is_called_by_that(tmp_path: Path) -> None:
    """Two runs of one method and data can then be told apart."""
    usual, own, named = (
        compose(*words)["name"] for words in ([], [f"run={tmp_path}/seed2"], [f"run={tmp_path}/seed2", "name=mine"])
    )
    assert compose("run=runs/seed2/${name}")["run"] == f"runs/seed2/{usual}"
    assert usual == "generated/cmlm_axe_small"
    assert own == f"{tmp_path.name}/seed2"
    assert named == "mine"


@pytest.mark.parametrize(
    "text", ["größe/x", "it's (a & b)=c, d", 'the "new" [x] {y} #1', 'back\\slash and \\"quote', "end\\"]
)
def test_names_and_paths_are_taken_to_the_letter(text: str, tiny_data: Path, tmp_path: Path) -> None:
    run, start = f"runs/{text}/run", f"starts/{text}"
    config = compose(f"run={run}", f"start_from={start}", f"fairseq.load_encoder_from={start}", f"name={text}")
    found = (config["run"], config["start_from"], config["fairseq"]["load_encoder_from"], config["name"])
    assert found == (run, start, start, text)
    data = tmp_path / text
    data.mkdir(parents=True)
    for name in ("prepare.json", "dict.aa.txt", "dict.bb.txt"):
        shutil.copy(tiny_data / name, data)
    config = compose_run([f"data={data}", f"run={run}", "method=teacher", "machine=cpu"])
    assert (config["data"]["path"], config["data"]["name"]) == (str(data), data.name)
    assert config["name"] == f"{Path(run).parent.name}/run"
    assert compose(f"data.path={data}")["data"]["path"] == str(data)
    if not text.endswith("\\"):  # which fairseq cannot compose
        assert parse(config).task.data == str(data)


def test_names_may_come_in_hydras_quotes() -> None:
    assert compose('name="a b"', "fairseq.load_encoder_from='größe'")["name"] == "a b"


def test_a_missing_method_is_named_with_its_choices() -> None:
    with pytest.raises(UserError, match=r"method.*cmlm_axe"):
        compose_run(["data=generated", "machine=cpu"])


def test_values_become_flags_as_fairseq_reads_them() -> None:
    values = {"a_b": 1, "yes": True, "no": False, "none": None, "several": [1, 2], "text": {"beam": 1}}
    assert to_flags(values) == ["--a-b", "1", "--yes", "--several", "1,2", "--text", '{"beam": 1}']


@pytest.mark.parametrize("task", ["translation", "translation_lev", "nat_translation"])
@pytest.mark.parametrize("wanted", [True, False])
def test_a_switch_says_what_it_means_whatever_its_default(task: str, wanted: bool) -> None:
    nat_plugin.register()
    flags = to_flags({"task": task, "left_pad_source": wanted, "arch": "transformer", "criterion": "cross_entropy"})
    read = options.parse_args_and_arch(options.get_training_parser(), ["data", *flags])
    assert read.left_pad_source is wanted


@given(st.integers(1, 200_000), st.integers(1, 20_000), st.integers(1, 64))
def test_batches_come_out_as_asked_up_to_rounding(batch_tokens: int, max_tokens: int, processes: int) -> None:
    if batch_tokens < processes:
        return
    try:
        plan = plan_batch(batch_tokens, max_tokens, processes)
    except UserError:
        assert batch_tokens / (math.ceil(batch_tokens / (max_tokens * processes)) * processes) < 1
        return
    assert plan.max_tokens <= max_tokens
    pieces = plan.update_freq * processes
    assert abs(pieces * plan.max_tokens - batch_tokens) <= pieces / 2
    assert plan.update_freq == 1 or (plan.update_freq - 1) * max_tokens * processes < batch_tokens


def test_fewer_tokens_than_processes_are_refused() -> None:
    with pytest.raises(UserError, match="batch_tokens=1 "):
        plan_batch(1, 100, 4)
