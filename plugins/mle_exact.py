"""The maximum-likelihood estimate in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from bench_core import Fit, Method, Trials, hookimpl

if TYPE_CHECKING:
    from bench_core.problems import RecoveryProblem


class MLEExact(Method):
    """Return the global maximum of the likelihood: sample mean, or top eigenvector with the correction of PPCA."""

    name = "mle_exact"
    control = True
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "exact_mle"})

    def fit(self, trials: Trials) -> Fit:
        return Fit(answer=cast("RecoveryProblem", trials.problem).exact_mle(trials["observed"]))


@hookimpl
def bench_register_methods() -> list[type[Method]]:
    return [MLEExact]
