"""A vanilla NAT beside another model: what it says of a fully masked canvas (Huang et al. 2022, §E.6)."""

from __future__ import annotations

from typing import Any

from nat_plugin.decoding.other_models import check_languages, check_symbols, read_other_model
from nat_plugin.errors import UserError


def load_vanilla_nat(path: str, task: Any, flag: str = "--vanilla-nat") -> Any:
    """Read a checkpoint whose canvas has one slot a token, all of them masked in its training; it stays as it is.

    Args:
        path: the checkpoint.
        task: ``nat_translation``, with the dictionaries of the model beside it.
        flag: what named the checkpoint.

    Returns:
        The model, in evaluation mode and without gradients.

    Raises:
        UserError: there is no such checkpoint, or it is of another kind of model, other languages or dictionaries.
    """
    from fairseq import models

    where, kind = f"{flag} {path}", "a vanilla NAT"
    state = read_other_model(path, flag)
    cfg = state["cfg"]
    if cfg.task._name != "nat_translation":
        raise UserError(f"{where} is no model of --task nat_translation: name a checkpoint of --arch nat.")
    check_languages(cfg.task, task, where, kind)
    sides = {"encoder": task.source_dictionary, "decoder": task.target_dictionary}
    for side, dictionary in sides.items():
        rows = state["model"][f"{side}.embed_tokens.weight"].size(0)
        if rows != len(dictionary):
            raise UserError(
                f"{where} has {rows} words on the {side}'s side and this data {len(dictionary)}: use a vanilla NAT "
                "that was trained with these dictionaries."
            )
    check_symbols(cfg.task, list(sides.values()), where, kind)
    model = models.build_model(cfg.model, task, from_checkpoint=True)
    if model.upsamples:
        raise UserError(f"{where} has --upsample-scale: a vanilla NAT has one slot a token, such as --arch nat.")
    if model.cfg.masking != "full":
        raise UserError(
            f"{where} was trained with --masking {model.canvas_maker.revealing.masking}: a vanilla NAT knows masked "
            "canvases alone (--masking full, --arch nat)."
        )
    model.load_state_dict(state["model"])
    model.requires_grad_(False)
    return model.eval()
