"""The window of log-probabilities against log_softmax, on every backend; NaN; the choice of a backend."""

from __future__ import annotations

import logging
from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from nat_plugin.alignments import axe_loss, nan_report, oaxe_loss, raise_pending, slot_log_probs
from nat_plugin.alignments.backends import _automatic, _log_once, choose_backend
from tests.alignments.problems import BACKENDS, lengths


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("per_slot", [False, True])
@given(
    sizes=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    words=st.integers(1, 300),
    columns=st.integers(0, 7),
    scale=st.sampled_from([0.0, 1.0, 200.0]),
    seed=st.integers(0, 999),
)
def test_equals_log_softmax_with_its_gradient(
    backend: str, per_slot: bool, sizes: list[int], words: int, columns: int, scale: float, seed: int
) -> None:
    """A scale of 200 overflows exp without the maximum; padding holds NaN."""
    generator = torch.Generator().manual_seed(seed)
    batch, width = len(sizes), max(sizes) + 1
    logits = scale * torch.randn(batch, width, words, generator=generator, dtype=torch.float64)
    real = torch.arange(width) < lengths(*sizes).unsqueeze(1)
    shape = (batch, width, columns) if per_slot else (batch, columns)
    tokens = torch.randint(0, words, shape, generator=generator)
    ours = logits.masked_fill(~real.unsqueeze(2), float("nan")).requires_grad_()
    theirs = logits.clone().requires_grad_()
    window, mean = slot_log_probs(ours, tokens, lengths(*sizes), mean=True, backend=backend)
    lprobs = theirs.log_softmax(-1)
    index = tokens if per_slot else tokens.unsqueeze(1).expand(-1, width, -1)
    expected = lprobs.gather(2, index).masked_fill(~real.unsqueeze(2), 0.0)
    expected_mean = lprobs.mean(-1).masked_fill(~real, 0.0)
    torch.testing.assert_close(window, expected)
    torch.testing.assert_close(mean, expected_mean)
    weights = torch.randn(window.shape, generator=generator, dtype=torch.float64)
    mean_weights = torch.randn(mean.shape, generator=generator, dtype=torch.float64)
    ((window * weights).sum() + (mean * mean_weights).sum()).backward()
    ((expected * weights).sum() + (expected_mean * mean_weights).sum()).backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_single_and_half_precision(backend: str, dtype: torch.dtype) -> None:
    logits = (4 * torch.randn(3, 5, 2000)).to(dtype)
    tokens = torch.randint(0, 2000, (3, 7))
    ours, exact = logits.clone().requires_grad_(), logits.double().requires_grad_()
    results = []
    for each, name in ((ours, backend), (exact, "torch")):
        window, mean = slot_log_probs(each, tokens, lengths(5, 4, 5), mean=True, backend=name)
        (window.square().sum() + mean.sum()).backward()
        results.append((window, mean))
    (window, mean), (exact_window, exact_mean) = results
    assert window.dtype == mean.dtype == torch.float32
    torch.testing.assert_close(window.double(), exact_window, rtol=2e-6, atol=2e-6)
    torch.testing.assert_close(mean.double(), exact_mean, rtol=2e-6, atol=2e-6)
    assert ours.grad is not None
    assert exact.grad is not None
    assert ours.grad.dtype == dtype
    tolerance = {"rtol": 5e-6, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 1e-2, "atol": 1e-4}
    torch.testing.assert_close(ours.grad, exact.grad.to(dtype), **tolerance)


@pytest.mark.parametrize("backend", BACKENDS)
def test_impossible_tokens(backend: str) -> None:
    logits = torch.tensor([[[0.0, float("-inf"), 1.0], [float("-inf"), 0.0, float("-inf")]]]).requires_grad_()
    window, _ = slot_log_probs(logits, torch.tensor([[1, 2]]), lengths(2), backend=backend)
    expected = logits.detach().log_softmax(-1)[:, :, 1:]
    torch.testing.assert_close(window, expected)
    torch.where(window.isfinite(), window, 0.0).sum().backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    share = expected[0, 0, 1].exp().item()
    assert logits.grad[0, 0].tolist() == pytest.approx([share - 1, 0, 1 - share])


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_may_take_the_place_of_the_logits(backend: str) -> None:
    source = torch.randn(2, 3, 50, requires_grad=True)
    tokens = torch.randint(0, 50, (2, 4))

    def gradient(overwrite: bool) -> tuple[Any, bool]:
        source.grad = None
        logits = source * 1.0
        window, _ = slot_log_probs(logits, tokens, lengths(3, 2), backend=backend, overwrite_logits=overwrite)
        kept = logits.detach().clone()
        window.sum().backward()
        return source.grad, torch.equal(kept, logits.detach())

    plain, untouched = gradient(overwrite=False)
    in_place, still_untouched = gradient(overwrite=True)
    assert untouched
    assert not still_untouched
    torch.testing.assert_close(in_place, plain)


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_that_do_not_lie_in_one_piece_are_written_over_too(backend: str) -> None:
    tokens = torch.randint(0, 50, (2, 4))
    gradients = []
    for overwrite in (False, True):
        source = torch.randn(3, 2, 50, generator=torch.Generator().manual_seed(1)).requires_grad_()
        logits = (source * 1.0).transpose(0, 1)
        slot_log_probs(logits, tokens, lengths(3, 2), backend=backend, overwrite_logits=overwrite)[0].sum().backward()
        gradients.append(source.grad)
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("backend", BACKENDS)
def test_logits_that_were_written_over_cannot_be_read_again_unseen(backend: str) -> None:
    logits = torch.randn(2, 3, 50).requires_grad_() * 1.0
    window, _ = slot_log_probs(
        logits, torch.randint(0, 50, (2, 4)), lengths(3, 2), backend=backend, overwrite_logits=True
    )
    window.sum().backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        window.sum().backward()


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_nan_is_reported_with_its_sentence(broken: float) -> None:
    logits = torch.randn(3, 4, 9)
    logits[1, 2, 5] = broken
    with pytest.raises(FloatingPointError, match="sentence 1 of the batch hold NaN or infinity at slot 2"):
        slot_log_probs(logits, torch.zeros(3, 2, dtype=torch.int64), lengths(4, 4, 4))
    targets = torch.zeros(3, 4, dtype=torch.int64)
    assert axe_loss(logits, targets, lengths(4, 2, 4), lengths(4, 4, 4), blank_idx=8).isfinite()


def test_nan_that_a_gpu_has_still_to_tell_of_comes_before_what_it_causes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where flags arrive behind the kernels: OaXE's copy to the host has waited for them."""
    logits = torch.randn(2, 3, 9)
    logits[1, 2, 5] = float("nan")
    arrived = SimpleNamespace(query=lambda: False, synchronize=lambda: None)

    def later(normalizers: Tensor) -> None:
        nan_report._pending.append(nan_report._Pending(~normalizers.isfinite(), arrived))  # type: ignore[arg-type]

    monkeypatch.setattr(nan_report, "_pending", deque())
    monkeypatch.setattr(nan_report, "watch", later)
    with pytest.raises(FloatingPointError, match="sentence 1 of an earlier batch, or this one, hold NaN"):
        oaxe_loss(logits, torch.zeros(2, 3, dtype=torch.int64), lengths(3, 3))
    later(logits[0, :, :3])
    raise_pending()
    assert not nan_report._pending


def test_the_backend_can_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.zeros(1)
    assert choose_backend(tensor, "torch").__name__.endswith("torch_backend")
    monkeypatch.setenv("NAT_PLUGIN_BACKEND", "torch")
    assert choose_backend(tensor).__name__.endswith("torch_backend")
    monkeypatch.setenv("NAT_PLUGIN_BACKEND", "fortran")
    with pytest.raises(ValueError, match="NAT_PLUGIN_BACKEND must be one of torch, cpp, triton, not 'fortran'"):
        choose_backend(tensor)
    with pytest.raises(ValueError, match="backend must be one of"):
        choose_backend(tensor, "fortran")


def test_the_automatic_choice_is_logged_once(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NAT_PLUGIN_BACKEND", raising=False)
    _automatic.cache_clear()
    _log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="nat_plugin.alignments.backends"):
        chosen = choose_backend(torch.zeros(1))
        assert choose_backend(torch.zeros(1)) is chosen
    assert chosen.__name__.endswith(f"{BACKENDS[-1]}_backend")
    assert len(caplog.records) == 1
    assert "alignments on cpu" in caplog.text


def test_the_choice_of_the_variable_is_logged_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NAT_PLUGIN_BACKEND", "torch")
    _log_once.cache_clear()
    with caplog.at_level(logging.INFO, logger="nat_plugin.alignments.backends"):
        for name in (None, None, "torch"):
            choose_backend(torch.zeros(1), name)
    assert [record.message for record in caplog.records] == [
        "alignments on cpu: torch backend (as NAT_PLUGIN_BACKEND says)"
    ]
