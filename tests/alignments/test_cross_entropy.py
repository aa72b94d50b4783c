"""The fused cross entropy against torch's."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cross_entropy

from nat_plugin.alignments import label_smoothed_cross_entropy


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_equals_torch_with_its_gradient(label_smoothing: float) -> None:
    logits = torch.randn(3, 7, 11, dtype=torch.float64)
    targets = torch.randint(0, 11, (3, 7))
    mask = torch.rand(3, 7) < 0.6
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss = label_smoothed_cross_entropy(ours, targets, mask=mask, label_smoothing=label_smoothing)
    expected = cross_entropy(theirs[mask], targets[mask], label_smoothing=label_smoothing)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_nothing_masked_is_zero_with_a_zero_gradient() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    mask = torch.zeros(2, 3, dtype=torch.bool)
    loss = label_smoothed_cross_entropy(logits, torch.zeros(2, 3, dtype=torch.int64), mask=mask, label_smoothing=0.1)
    loss.backward()
    assert loss.item() == 0
    assert logits.grad is not None
    assert logits.grad.abs().sum() == 0
