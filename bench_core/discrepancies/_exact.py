"""Products at the full precision of their dtype, whatever the caller has switched on for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

EXACT = ("none", "ieee")
"""Settings of a backend under which float32 products are float32 products."""


@contextmanager
def exact_products(device_type: str) -> Iterator[None]:
    """Switch autocast and reduced-precision matrix products (TF32, bfloat16) off inside.

    A kernel is the exponential of a difference of large products: three digits less there are all digits of an MMD.
    """
    # Read per backend: torch.get_float32_matmul_precision raises where someone has set one backend alone.
    cpu = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]  # a module that makes its attributes
    backend = torch.backends.cuda.matmul if device_type == "cuda" else cpu
    precision = backend.fp32_precision
    autocast = torch.is_autocast_enabled(device_type)
    # Both are rarely on, and entering autocast for nothing costs as much as a small kernel matrix.
    if precision in EXACT and not autocast:
        yield
        return
    backend.fp32_precision = "ieee"
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        backend.fp32_precision = precision
