"""Half precision: --bf16 is no TPU, and nothing is promised without a GPU."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any

import pytest
from fairseq import options
from fairseq.dataclass.utils import convert_namespace_to_omegaconf
from fairseq.distributed import utils as distributed_utils

import nat_plugin
from nat_plugin.errors import UserError
from nat_plugin.guards import precision

nat_plugin.register()


def configuration(*flags: str) -> Any:
    """What fairseq-train makes of its flags."""
    fixed = [
        "data",
        "--task",
        "nat_translation",
        "--arch",
        "cmlm_tiny",
        "--criterion",
        "nat_axe",
        "--optimizer",
        "adam",
    ]
    words = [*fixed, "--max-tokens", "100", "--distributed-world-size", "1", *flags]
    return convert_namespace_to_omegaconf(options.parse_args_and_arch(options.get_training_parser(), words))


@pytest.mark.parametrize(("flags", "is_tpu"), [(["--bf16"], False), (["--bf16", "--tpu"], True)])
def test_only_the_flag_asks_for_a_tpu(monkeypatch: pytest.MonkeyPatch, flags: list[str], is_tpu: bool) -> None:
    monkeypatch.setattr(sys, "argv", ["fairseq-train", *flags])
    seen: list[Any] = []
    distributed_utils.call_main(configuration(*flags), seen.append)
    [cfg] = seen
    assert cfg.common.bf16
    assert {cfg.common.tpu, cfg.distributed_training.tpu, cfg.optimizer.tpu} == {is_tpu}


@pytest.mark.parametrize("name", ["fp16", "bf16"])
def test_half_precision_needs_a_gpu(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    common = Namespace(**{"fp16": False, "bf16": False, "cpu": False, "tpu": False, name: True})
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: True)
    precision.check_half_precision(common)
    with pytest.raises(UserError, match=f"--{name} needs a CUDA GPU"):
        precision.check_half_precision(Namespace(**{**vars(common), "cpu": True}))
    monkeypatch.setattr(precision.torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=f"--{name} needs a CUDA GPU"):
        precision.check_half_precision(common)
    precision.check_half_precision(Namespace(**{**vars(common), "tpu": True}))
