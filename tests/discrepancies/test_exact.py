"""Reduced precision is switched off inside and back on outside, with the settings of new and of older PyTorch."""

from __future__ import annotations

import pytest
import torch

from bench_core.discrepancies import _exact


@pytest.mark.parametrize("old", [False, True])
def test_reduced_precision_is_off_inside_and_as_before_outside(monkeypatch, old):
    if old:  # one setting for all backends, as before torch 2.9
        monkeypatch.setattr(_exact, "_backend", lambda device_type: None)
    outside = "high" if old else "bf16"
    before = _exact._precision("cpu")
    _exact._set_precision("cpu", outside)
    try:
        with _exact.exact_products("cpu"):
            assert _exact._precision("cpu") in _exact.EXACT
        assert _exact._precision("cpu") == outside
    finally:
        _exact._set_precision("cpu", before)
    assert torch.get_float32_matmul_precision() == "highest"
