"""(seed, split, problem, data parameters, repeat, purpose) -> independent random streams.

Everything random in a trial comes from a stream that is named by a path of plain values. Streams of different paths
are independent; the stream of one path is the same on every machine, in every process and in every order of work.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch


def canonical(value: Any) -> str:
    """Return the one JSON text of ``value``: sorted keys, no spaces; ``1``, ``1.0``, ``true`` and ``"1"`` differ.

    Raises:
        ValueError: for NaN and infinities, which JSON cannot say.

    >>> canonical({"b": 1.0, "a": [True, "x"]})
    '{"a":[true,"x"],"b":1.0}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def stable_hash(text: str, *, bits: int = 128) -> int:
    """Return an unsigned hash of ``text`` that is the same in every process (blake2b)."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=bits // 8).digest(), "big")


def short_id(text: str) -> str:
    """Return the 16 hexadecimal digits by which a trial, an environment or a batch is known."""
    return f"{stable_hash(text, bits=64):016x}"


class Streams:
    """The random streams below one path.

    Args:
        path: plain values that name the owner of the streams, for example one trial.
    """

    def __init__(self, *path: Any) -> None:
        self._prefix = canonical(list(path))

    def numpy(self, purpose: str) -> np.random.Generator:
        """Return the stream for drawing data, on the CPU in float64, equal on every machine (Philox, 128-bit key)."""
        import numpy as np

        return np.random.Generator(np.random.Philox(key=stable_hash(f"{self._prefix}/{purpose}")))

    def torch(self, purpose: str, device: torch.device) -> torch.Generator:
        """Return the stream for a method's own noise, on ``device``.

        PyTorch seeds its CPU generator with 32 bits. Two trials in some ten thousands may thus share their noise;
        their data, which come from ``numpy``, still differ.
        """
        import torch

        generator = torch.Generator(device=device)
        generator.manual_seed(stable_hash(f"{self._prefix}/{purpose}", bits=32))
        return generator
