"""Problems: where data come from and how an answer is scored. One problem per file, each behind the public hook."""

from __future__ import annotations

from bench_core.problems.base import Problem, RecoveryProblem

__all__ = ["Problem", "RecoveryProblem"]
