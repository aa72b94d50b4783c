"""Half precision in training: a mend for ``--bf16`` on the command line, and a refusal where nothing can compute it.

fairseq takes ``--bf16`` as a request for a TPU, although its trainer handles bfloat16 on a GPU like fp16. Who wants a
TPU says ``--tpu``.
"""

from __future__ import annotations

import sys
from typing import Any

import torch
from omegaconf import OmegaConf

from nat_plugin.errors import UserError
from nat_plugin.guards.patching import Function, replace


def install() -> None:
    from fairseq.distributed import utils as distributed_utils

    # The plugin is imported while the flags are being read, so the first function that can be mended is the next one.
    replace(distributed_utils, "call_main", _without_tpu)


def _without_tpu(original: Function) -> Function:
    def call_main(cfg: Any, main: Function, **kwargs: Any) -> None:
        """fairseq's; a TPU is used only where ``--tpu`` asks for one."""
        if cfg.common.bf16 and "--tpu" not in sys.argv:
            for group in cfg.values():  # several groups hold a copy
                if OmegaConf.is_dict(group) and "tpu" in group:
                    group.tpu = False
        original(cfg, main, **kwargs)

    return call_main


def check_half_precision(common: Any) -> None:
    """Refuse what no device here can compute.

    Args:
        common: fairseq's ``common`` configuration.

    Raises:
        UserError: half precision without a CUDA GPU.
    """
    if common.tpu:
        return
    for name in ("fp16", "bf16"):
        if getattr(common, name, False) and (common.cpu or not torch.cuda.is_available()):
            raise UserError(f"--{name} needs a CUDA GPU, and none is used here: drop it, a CPU trains in fp32.")
