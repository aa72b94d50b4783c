"""The worked example of docs/adding_a_method.md is code that works."""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from nat_plugin.criterions.base import target_batch
from nat_plugin.errors import UserError
from scripts.lib.config import compose_run
from tests import helpers

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "adding_a_method.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return str(found)


@pytest.fixture(scope="module")
def registered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The page's criterion, registered while these tests run."""
    from fairseq import criterions

    registries = (criterions.CRITERION_REGISTRY, criterions.CRITERION_DATACLASS_REGISTRY)
    before = [registry.copy() for registry in registries]
    path = tmp_path_factory.mktemp("criterions") / "nat_focal.py"
    path.write_text(block("python"), encoding="utf-8")
    sys.path.insert(0, str(path.parent))
    importlib.import_module("nat_focal")
    yield
    sys.path.remove(str(path.parent))
    for registry, old in zip(registries, before, strict=True):
        registry.clear()
        registry.update(old)


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("gamma", [0.0, 2.0])
def test_the_loss_is_what_the_page_says(gamma: float) -> None:
    task = helpers.task()
    model = helpers.model(task, init="xavier").double().train()
    sample = helpers.batch(helpers.dataset(task, helpers.pairs(6, seed=2)))
    criterion = helpers.criterion("nat_focal", task, focal_gamma=gamma, length_loss_weight=0.0)
    loss, size, _ = criterion(model, sample)
    output, targets = output_of(model, sample)
    lprobs = output.logits.log_softmax(-1)
    expected = torch.zeros((), dtype=torch.float64)
    for row, slot in output.masked.nonzero().tolist():
        lprob = lprobs[row, slot, targets.tokens[row, slot]]
        expected = expected - (1 - lprob.exp()) ** gamma * lprob
    torch.testing.assert_close(loss, expected)
    assert int(size) == int(output.masked.sum())
    ours = torch.autograd.grad(loss, model.decoder.embed_tokens.weight)[0]
    theirs = torch.autograd.grad(expected, model.decoder.embed_tokens.weight)[0]
    torch.testing.assert_close(ours, theirs)
    if not gamma:
        plain, _, _ = helpers.criterion("nat_cross_entropy", task, length_loss_weight=0.0)(model, sample)
        torch.testing.assert_close(loss, plain)


def output_of(model: Any, sample: dict[str, Any]) -> tuple[Any, Any]:
    targets = target_batch(sample["target"], model.symbols.pad)
    net_input = {key: sample["net_input"][key] for key in ("src_tokens", "src_lengths")}
    output = model(**net_input, targets=targets.tokens, target_lengths=targets.lengths, sentence_ids=sample["id"])
    return output, targets


@pytest.mark.usefixtures("registered")
def test_it_refuses_in_one_sentence() -> None:
    with pytest.raises(UserError, match="--focal-gamma must be 0 or more, not -1"):
        helpers.criterion("nat_focal", helpers.task(), focal_gamma=-1.0)


def test_the_configuration_composes() -> None:
    written = yaml.safe_load(block("yaml"))
    assert written["defaults"] == ["nat", "_self_"]
    base = compose_run(["data=generated", "method=nat", "machine=cpu"])
    assert set(written["fairseq"]) - set(base["fairseq"]) == {"focal_gamma"}
    assert written["method"]["name"] == written["fairseq"]["criterion"] == "nat_focal"
