"""Products at the full precision of their dtype, whatever the caller has switched on for speed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def exact_products(device_type: str) -> Iterator[None]:
    """Switch autocast and reduced-precision matrix products (TF32, bfloat16) off inside.

    A kernel is the exponential of a difference of large products: three digits less there are all digits of an MMD.
    """
    precision = torch.get_float32_matmul_precision()
    autocast = torch.is_autocast_enabled(device_type)
    # Both are rarely on, and entering autocast for nothing costs as much as a small kernel matrix.
    if precision == "highest" and not autocast:
        yield
        return
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
