"""Products at the full precision of their dtype, whatever the caller has switched on for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

EXACT = ("none", "ieee", "highest")
"""Settings under which float32 products are float32 products."""


@contextmanager
def exact_products(device_type: str) -> Iterator[None]:
    """Switch autocast and reduced-precision matrix products (TF32, bfloat16) off inside.

    A kernel is the exponential of a difference of large products: three digits less there are all digits of an MMD.
    """
    precision = _precision(device_type)
    autocast = torch.is_autocast_enabled(device_type)
    # Both are rarely on, and entering autocast for nothing costs as much as a small kernel matrix.
    if precision in EXACT and not autocast:
        yield
        return
    _set_precision(device_type, "ieee")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        _set_precision(device_type, precision)


def _backend(device_type: str) -> Any:
    """What holds the setting of one backend, or None: before torch 2.9 there is one setting for all."""
    of_device = torch.backends.cuda if device_type == "cuda" else torch.backends.mkldnn
    matmul = getattr(of_device, "matmul", None)
    return matmul if hasattr(matmul, "fp32_precision") else None


def _precision(device_type: str) -> str:
    # Per backend where there is such a setting: torch.get_float32_matmul_precision raises where someone set one alone.
    backend = _backend(device_type)
    return str(backend.fp32_precision) if backend is not None else torch.get_float32_matmul_precision()


def _set_precision(device_type: str, precision: str) -> None:
    backend = _backend(device_type)
    if backend is not None:
        backend.fp32_precision = precision
    else:
        torch.set_float32_matmul_precision("highest" if precision == "ieee" else precision)
