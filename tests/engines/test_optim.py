"""Adam against torch's own, schedules by hand."""

from __future__ import annotations

import pytest
import torch

from bench_core.engines.optim import Adam, learning_rate


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_adam_is_torch_adam_step_by_step(dtype):
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(5, 3, dtype=dtype, generator=generator)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, reference = Adam([ours]), torch.optim.Adam([theirs], lr=0.1)
    for step in range(200):
        gradient = torch.randn(5, 3, dtype=dtype, generator=generator) * 10.0 ** (-step / 20)
        theirs.grad = gradient.clone()
        reference.step()
        adam.step([gradient], 0.1)
        torch.testing.assert_close(ours, theirs.detach(), rtol=1e-5 if dtype == torch.float32 else 1e-12, atol=1e-7)


def test_adam_follows_a_changing_learning_rate_as_torch_does():
    start = torch.ones(2, 3, dtype=torch.float64)
    ours, theirs = start.clone(), start.clone().requires_grad_()
    adam, reference = Adam([ours]), torch.optim.Adam([theirs], lr=1.0)
    for step in range(50):
        lr = learning_rate("cosine", 0.3, step, 50)
        reference.param_groups[0]["lr"] = lr
        theirs.grad = theirs.detach() ** 3
        adam.step([ours**3], lr)
        reference.step()
    torch.testing.assert_close(ours, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_a_nan_gradient_stays_in_its_trial():
    clean, dirty = torch.ones(3, 2), torch.ones(3, 2)
    first, second = Adam([clean]), Adam([dirty])
    for _ in range(5):
        gradient = torch.full((3, 2), 0.5)
        first.step([gradient], 0.1)
        gradient[1] = torch.nan
        second.step([gradient], 0.1)
    assert torch.equal(clean[[0, 2]], dirty[[0, 2]])
    assert dirty[1].isnan().all()


def test_schedules_start_at_the_rate_and_decay_to_nothing():
    for schedule in ("constant", "linear", "cosine"):
        assert learning_rate(schedule, 0.5, 0, 100) == 0.5
    assert learning_rate("constant", 0.5, 99, 100) == 0.5
    assert learning_rate("linear", 0.5, 99, 100) == pytest.approx(0.005)
    assert learning_rate("cosine", 0.5, 50, 100) == pytest.approx(0.25)
    assert learning_rate("cosine", 0.5, 99, 100) < 0.001
