"""What the C++ kernels do themselves where other code has a library: exp, half precision, threads."""

from __future__ import annotations

import pytest
import torch

from tests.alignments.problems import BACKENDS

if "cpp" not in BACKENDS:
    pytest.skip("the C++ kernels were not built: no compiler", allow_module_level=True)

from nat_plugin.alignments.backends import cpp_backend

HALVES = [torch.float16, torch.bfloat16]


def one_slot(values: torch.Tensor) -> torch.Tensor:
    return values.view(1, 1, -1)


def test_exp_is_right_to_the_last_place_over_its_whole_range() -> None:
    """With softmax weight -1 and normaliser 0 the gradient is exp(logit)."""
    x = torch.cat([torch.linspace(-87.3, 88.0, 400_001), torch.linspace(-1e-3, 1e-3, 2001), torch.tensor([0.0])])
    zero, none = torch.zeros(1, 1), torch.zeros(1, 1, 0)
    found = cpp_backend.write_gradient(
        one_slot(x), zero, none.long(), none, zero - 1, None, torch.ones(1, dtype=torch.int64)
    ).flatten()
    exact = x.double().exp()
    spacing = torch.nextafter(exact.float(), torch.tensor(float("inf"))).double() - exact.float().double()
    assert ((found.double() - exact).abs() / spacing).max() <= 1.5


def test_exp_of_what_is_no_number() -> None:
    x = torch.tensor([float("-inf"), -1e30, -88.0, float("nan")])
    zero, none = torch.zeros(1, 1), torch.zeros(1, 1, 0)
    found = cpp_backend.write_gradient(
        one_slot(x), zero, none.long(), none, zero - 1, None, torch.ones(1, dtype=torch.int64)
    ).flatten()
    assert found[:3].tolist() == [0, 0, 0]
    assert found[3].isnan()


@pytest.mark.parametrize("dtype", HALVES)
def test_every_half_is_read_as_torch_reads_it(dtype: torch.dtype) -> None:
    halves = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    tokens = torch.arange(halves.numel()).view(1, 1, -1)
    found = cpp_backend.gather_logits(one_slot(halves), tokens, torch.ones(1, dtype=torch.int64)).flatten()
    assert torch.equal(found.nan_to_num(nan=7.0), halves.float().nan_to_num(nan=7.0))
    assert torch.equal(found.isnan(), halves.isnan())


@pytest.mark.parametrize("dtype", HALVES)
def test_halves_are_rounded_as_torch_rounds_them(dtype: torch.dtype) -> None:
    """Random bits: normal, subnormal, too large, infinite and NaN, and halfway between two halves."""
    bits = torch.randint(-(2**31), 2**31 - 1, (50_000,)).to(torch.int32)
    midway = (
        torch.arange(2**15, dtype=torch.int32) << 16 | 0x8000,
        torch.arange(2**15, dtype=torch.int32) << 13 | 0x1000,
    )
    weights = torch.cat([bits, *midway]).view(torch.float32)
    weights = torch.cat([weights, torch.linspace(-70000, 70000, 9999), 1e-7 * torch.randn(9999)])
    tokens = torch.arange(weights.numel()).view(1, 1, -1)
    zero = torch.zeros(1, 1)
    logits = torch.zeros(1, 1, weights.numel(), dtype=dtype)
    found = cpp_backend.write_gradient(
        logits, zero, tokens, one_slot(weights), zero, None, torch.ones(1, dtype=torch.int64)
    ).flatten()
    expected = weights.to(dtype)
    assert torch.equal(found.float().nan_to_num(nan=7.0), expected.float().nan_to_num(nan=7.0))
    assert torch.equal(found.isnan(), expected.isnan())


def test_threads_change_nothing() -> None:
    logits, tokens = torch.randn(5, 40, 300), torch.randint(0, 300, (5, 1, 13))
    slots, targets = torch.tensor([40, 31, 1, 40, 8]), torch.tensor([12, 5, 0, 7, 12])

    def everything() -> list[torch.Tensor]:
        normalizers, window, means = cpp_backend.read_slots(logits, tokens, slots, True)
        assert means is not None
        gradient = cpp_backend.write_gradient(logits, normalizers, tokens, window, means, means, slots)
        goals = tokens[:, 0, :-1]
        axe = cpp_backend.axe_paths(window[:, :, :-1].contiguous(), window[:, :, -1], slots, targets, 2.0, False)
        ctc = cpp_backend.ctc_occupancy(window, goals, slots, targets)
        return [gradient, *axe, *ctc, cpp_backend.ctc_best_paths(window, goals, slots, targets)]

    one = everything()
    torch.set_num_threads(3)
    for alone, together in zip(one, everything(), strict=True):
        assert torch.equal(alone, together)


def test_sources_need_not_be_contiguous() -> None:
    logits = torch.randn(4, 3, 60).transpose(0, 1)
    tokens = torch.randint(0, 60, (3, 10, 2)).transpose(1, 2)
    lengths = torch.tensor([4, 9, 2, 9, 4, 9])[::2]
    found = cpp_backend.read_slots(logits, tokens[:, :1], lengths, False)[1]
    expected = cpp_backend.read_slots(logits.contiguous(), tokens[:, :1].contiguous(), lengths.contiguous(), False)[1]
    assert torch.equal(found, expected)
    out = torch.empty(3, 60, 4).transpose(1, 2)
    weights = torch.ones(3, 4)
    arguments = (tokens[:, :1], found, weights, None, lengths)
    gradient = cpp_backend.write_gradient(logits, weights, *arguments, out)
    assert gradient is out
    assert torch.equal(out, cpp_backend.write_gradient(logits, weights, *arguments))


def test_rows_of_a_view_are_read_and_written_where_they_lie() -> None:
    everything, lengths = torch.randn(6, 9, 50), torch.tensor([4, 2, 4])
    view, tokens = everything[::2, 3:7], torch.randint(0, 50, (3, 4, 2))
    before = everything.clone()
    normalizers, chosen, _ = cpp_backend.read_slots(view, tokens, lengths, False)
    assert torch.equal(chosen, cpp_backend.read_slots(view.contiguous(), tokens, lengths, False)[1])
    arguments = (normalizers, tokens, chosen, normalizers, None, lengths)
    expected = cpp_backend.write_gradient(view.contiguous(), *arguments)
    assert cpp_backend.write_gradient(view, *arguments, out=view) is view
    assert torch.equal(view, expected)
    untouched = torch.ones(6, 9, dtype=torch.bool)
    untouched[::2, 3:7] = False
    assert torch.equal(everything[untouched], before[untouched])


def _read(**changes: torch.Tensor) -> None:
    given = {"logits": torch.zeros(2, 3, 5), "tokens": torch.zeros(2, 1, 4, dtype=torch.int64)}
    given |= {"lengths": torch.tensor([3, 1])} | changes
    cpp_backend.read_slots(given["logits"], given["tokens"], given["lengths"], False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lengths": torch.tensor([3, 4])}, r"lengths must be in 0\.\.3, but that of sentence 1 is 4"),
        ({"lengths": torch.tensor([-1, 3])}, r"lengths must be in 0\.\.3, but that of sentence 0 is -1"),
        ({"lengths": torch.tensor([3])}, r"lengths must be \[2\] on the CPU, not \[1\]"),
        ({"tokens": torch.tensor([0, 1, 2, 3, 4, 5, 0, 0]).view(2, 1, 4)}, "token 5 of sentence 1 is outside"),
        ({"tokens": torch.tensor([0, 1, -1, 3, 4, 4, 0, 0]).view(2, 1, 4)}, "token -1 of sentence 0 is outside"),
        ({"tokens": torch.zeros(2, 2, 4, dtype=torch.int64)}, r"tokens must be \[2, 3, 4\] on the CPU"),
    ],
)
def test_what_would_be_read_outside_of_its_memory_is_refused(changes: dict[str, torch.Tensor], message: str) -> None:
    _read()
    with pytest.raises(ValueError, match=message):
        _read(**changes)


def test_programs_refuse_lengths_beyond_their_window() -> None:
    window, slots, targets = torch.zeros(1, 4, 3), torch.tensor([4]), torch.tensor([2])
    goals = torch.zeros(1, 2, dtype=torch.int64)
    for arguments in ((torch.tensor([5]), targets), (slots, torch.tensor([3]))):
        with pytest.raises(ValueError, match="_lengths must be in"):
            cpp_backend.ctc_best_paths(window, goals, *arguments)
        with pytest.raises(ValueError, match="_lengths must be in"):
            cpp_backend.axe_paths(window[:, :, :2], window[:, :, 2], *arguments, 1.0, False)
