"""Suites with claims, judged on trials written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import pytest

from bench_core.claims.judging import judge
from bench_core.plan import make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.results import Results
from bench_core.suite import Suite
from bench_core.summary import Summary, Verdict, summarise

PLUGIN = """\
from bench_core import Fit, Method, Problem, hookimpl
from bench_core.metrics import MeasuredMetric

class Score(MeasuredMetric):
    name, kind, direction = "score", "mean", "higher"
    def measure(self, trials, fit):
        return trials["x"]

class Lost(Method):
    name = "lost"
    needs = frozenset({"magic"})
    def fit(self, trials):
        return Fit(answer=None)

@hookimpl
def bench_register_metrics():
    return [Score()]
@hookimpl
def bench_register_methods():
    return [Lost]
"""

Outcome = float | str | None
"""The metric of a trial, the status of one that failed, or None for one that is not stored."""

SCHEMA = {
    "cell": pl.Int64,
    "label": pl.String,
    "split": pl.String,
    "trial_id": pl.String,
    "repeat": pl.Int64,
    "status": pl.String,
    "reason": pl.String,
    "seconds": pl.Float64,
    "data_digest": pl.String,
    "metric.error": pl.Float64,
    "metric.success": pl.Float64,
    "metric.score": pl.Float64,
}


@pytest.fixture(scope="session")
def loaded(tmp_path_factory: pytest.TempPathFactory, repo: Any) -> Plugins:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "mine.py").write_text(PLUGIN, encoding="utf-8")
    plugins = load_plugins(PluginSources(checkout=repo / "plugins", folders=(folder,)))
    assert plugins.failures == []
    return plugins


@pytest.fixture(scope="session")
def summarised(loaded: Plugins) -> Callable[..., tuple[Summary, Suite]]:
    """Return ``summarised(cells, claims, metric="success", **more)``: the summary, and the suite with the claims.

    ``cells`` has one mapping label -> outcomes per problem cell (m = 50, 100, …); ``more`` are further keys of the
    suite, of which ``methods`` maps a label to its method (default: truth), ``axis`` names another parameter than m
    with its values, and ``same_data`` gives the cells equal data.
    """

    def make(
        cells: Sequence[Mapping[str, Sequence[Outcome]]],
        claims: Sequence[Mapping[str, Any]],
        metric: str = "success",
        *,
        methods: Mapping[str, str] | None = None,
        axis: tuple[str, list[Any]] | None = None,
        same_data: bool = False,
        **more: Any,
    ) -> tuple[Summary, Suite]:
        labels = list(dict.fromkeys(label for cell in cells for label in cell))
        name, values = axis or ("m", [50 * (i + 1) for i in range(len(cells))])
        suite = Suite.model_validate(
            {
                "name": "s",
                "title": "By hand",
                "trials": max(1, *(len(trials) for cell in cells for trials in cell.values())),
                "problems": [{"name": "gaussian_mean", "grid": {name: values}}],
                "methods": [{"name": (methods or {}).get(label, "truth"), "label": label} for label in labels],
                "metrics": list(dict.fromkeys([metric, "error", "success", "score"])),
                "claims": [{"id": f"c{i}", **claim} for i, claim in enumerate(claims)],
                **more,
            }
        )
        rows = [
            {
                "cell": index * len(labels) + labels.index(label),
                "label": label,
                "split": "main",
                "trial_id": f"{label}-{index}-{repeat}",
                "repeat": repeat,
                "status": value if isinstance(value, str) else "ok",
                "reason": f"a {value}" if isinstance(value, str) else None,
                "seconds": 0.5,
                "data_digest": f"{0 if same_data else index}-{repeat}",
                f"metric.{metric}": None if isinstance(value, str) else float(value),
            }
            for index, cell in enumerate(cells)
            for label, trials in cell.items()
            for repeat, value in enumerate(trials)
            if value is not None
        ]
        frame = pl.DataFrame(rows, schema=SCHEMA)
        return summarise(Results(make_plan(suite, loaded), "run", frame, stale=0, environments={}), loaded), suite

    return make


@pytest.fixture(scope="session")
def verdicts(summarised: Callable[..., tuple[Summary, Suite]]) -> Callable[..., list[Verdict]]:
    """Return ``verdicts(cells, claims, …)``, the arguments being those of ``summarised``."""
    return lambda *args, **kwargs: judge(*summarised(*args, **kwargs))


@pytest.fixture(scope="session")
def verdict(verdicts: Callable[..., list[Verdict]]) -> Callable[..., Verdict]:
    """Return ``verdict(cells, claim, …)`` on one claim, or on the first of several."""

    def one(cells: Any, claim: Any, *args: Any, **kwargs: Any) -> Verdict:
        cells = [cells] if isinstance(cells, Mapping) else cells
        return verdicts(cells, claim if isinstance(claim, list) else [claim], *args, **kwargs)[0]

    return one
