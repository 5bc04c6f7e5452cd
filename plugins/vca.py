"""Vertex component analysis: Nascimento and Bioucas-Dias 2005; Alon, Globerson, Wiesel, Table 8."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from pydantic import Field

from bench_core import Fit, Method, Trials, hookimpl

if TYPE_CHECKING:
    from bench_core.problems.linear_unmixing import LinearUnmixing


class VCA(Method):
    """Return the pixels that stick out farthest as endmembers: what linear_unmixing starts from, as a result."""

    name = "vca"
    control = True
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "unmixing"})

    snr: float | None = Field(None, ge=-1000, le=1000)
    """Signal-to-noise ratio in dB, by which one of two views of the pixels is chosen; null: estimated."""

    def fit(self, trials: Trials) -> Fit:
        import torch

        from bench_core.unmixing import vca

        r = cast("LinearUnmixing", trials.problem).r
        found = [
            vca(pixels, r, generator=streams.torch("directions", trials.device), snr=self.snr)
            for pixels, streams in zip(trials["observed"], trials.streams, strict=True)
        ]
        return Fit(answer=torch.stack(found).mT.flatten(1))


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [VCA]
