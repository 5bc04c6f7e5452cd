"""One batch in this process: failures are narrowed down to rows, and data are paired."""

from __future__ import annotations

import errno
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench_core import Fit, Method
from bench_core.errors import BenchError
from bench_core.execute import batch
from bench_core.execute.batch import DeviceLostError, Setting, run_job
from bench_core.execute.memory import Share
from bench_core.metrics import MeasuredMetric
from bench_core.plan import Job
from bench_core.plugins import PluginFailure

CPU = Setting("cpu", None, None)


@pytest.fixture
def run(plugins, make_cell):
    """Run repeats 0 … n-1 of a method class, made for the test, under the name of a built-in one."""

    def go(cls, n=8, width=10):
        cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "truth", {})
        patched = replace(plugins, methods=replace(plugins.methods, items={**plugins.methods.items, "truth": cls}))
        return run_job(Job(cell, tuple(range(n)), width), patched, CPU)

    return go


def test_an_exception_is_narrowed_down_to_the_guilty_trials(run):
    guilty = set()

    class Raises(Method):
        name = "truth"

        def fit(self, trials):
            bad = trials["truth"][:, 0] > 0.8
            if bool(bad.any()):
                guilty.update(map(tuple, trials["truth"][bad].tolist()))
                raise RuntimeError("cholesky: not positive definite")
            return Fit(answer=trials["truth"].clone())

    rows = sorted(run(Raises, n=10), key=lambda row: row["repeat"])
    assert [row["repeat"] for row in rows] == list(range(10))
    failed = [row for row in rows if row["status"] == "error"]
    assert 0 < len(failed) == len(guilty) < 10
    assert {row["reason"] for row in failed} == {"RuntimeError: cholesky: not positive definite"}
    assert "in fit" in failed[0]["traceback"]
    assert all(row["metric.error"] == 0 for row in rows if row["status"] == "ok")
    assert all(row["slot"] == row["repeat"] and row["batch_size"] == 10 for row in rows)


def test_a_non_finite_answer_is_nan_and_its_neighbours_are_ok(run):
    class Half(Method):
        name = "truth"

        def fit(self, trials):
            answer = trials["truth"].clone()
            answer[3, 0] = torch.inf
            return Fit(answer=answer)

    rows = run(Half)
    assert [row["status"] for row in rows] == ["ok"] * 3 + ["nan"] + ["ok"] * 4
    assert rows[3]["reason"] == "the estimate is not finite"
    assert "metric.error" not in rows[3]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (
            lambda trials: trials["truth"][:, :1],
            r"a floating tensor of shape \(10, 2\), got \(10, 1\) of torch.float32",
        ),
        (lambda trials: trials["truth"].long(), r"got \(10, 2\) of torch.int64"),
        (lambda trials: [1, 2], "got list"),
    ],
)
def test_a_wrong_answer_is_an_error_that_says_what_was_required(run, answer, words):
    class Wrong(Method):
        name = "truth"

        def fit(self, trials):
            return Fit(answer=answer(trials))

    (row,) = run(Wrong, n=1)
    assert row["status"] == "error"
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(row["reason"])


def test_a_fit_that_is_no_fit_is_an_error(run):
    class Bare(Method):
        name = "truth"

        def fit(self, trials):
            return trials["truth"]

    (row,) = run(Bare, n=1)
    assert row["reason"] == "TypeError: fit must return a bench_core.Fit, got Tensor"


def test_too_little_memory_halves_the_width_and_the_rows_say_so(run):
    class Hungry(Method):
        name = "truth"

        def fit(self, trials):
            if trials.width > 3:
                raise MemoryError
            return Fit(answer=trials["truth"].clone())

    rows = sorted(run(Hungry), key=lambda row: row["repeat"])
    assert [row["status"] for row in rows] == ["ok"] * 8
    assert {row["batch_size"] for row in rows} == {2}  # 10, 5, 2
    assert all(row["slot"] == row["repeat"] % 2 for row in rows)


def test_a_pair_that_does_not_fit_is_one_skipped_row_with_its_reason(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {}, "mle", {}, skipped="gaussian_mean has no log_density")
    (row,) = run_job(Job(cell, (0,), 50), plugins, CPU)
    assert (row["status"], row["reason"], row["repeat"]) == ("skipped", "gaussian_mean has no log_density", 0)


def test_every_method_sees_the_same_data_in_trial_i(plugins, make_cell):
    digests = {}
    for method in ("truth", "init", "mle_exact"):
        cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, method, {})
        digests[method] = [row["data_digest"] for row in run_job(Job(cell, (0, 1, 2), 5), plugins, CPU)]
    assert digests["truth"] == digests["init"] == digests["mle_exact"]
    assert len(set(digests["truth"])) == 3


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"threshold": 0.5}, True),
        ({"fakes_ratio": 3.0}, True),
        ({"m": 6}, False),
        ({"d": 3}, False),
        ({"init_distance": 1.0}, False),
    ],
)
def test_data_depend_on_data_parameters_only(plugins, make_cell, changed, same):
    rows = [
        run_job(
            Job(make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5, **params}, "truth", {}), (0,), 2), plugins, CPU
        )
        for params in ({}, changed)
    ]
    assert (rows[0][0]["data_digest"] == rows[1][0]["data_digest"]) is same


def test_padding_repeats_a_real_trial_and_gives_no_row(plugins, make_cell):
    widths = []

    class Look(Method):
        name = "truth"

        def fit(self, trials):
            widths.append((trials.width, len({tuple(row) for row in trials["start"].tolist()})))
            return Fit(answer=trials["truth"].clone())

    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "truth", {})
    patched = replace(plugins, methods=replace(plugins.methods, items={**plugins.methods.items, "truth": Look}))
    rows = run_job(Job(cell, (12, 17), 10), patched, CPU)
    assert [(row["repeat"], row["slot"]) for row in rows] == [(12, 2), (17, 7)]
    assert widths == [(10, 2)]


def test_a_metric_that_is_not_a_number_is_a_failure_and_does_not_leave_the_denominator(run, plugins, monkeypatch):
    class Undefined(Method):
        name = "truth"

        def fit(self, trials):
            answer = trials["truth"].clone()
            answer[2] = 3e38  # finite, but its distance from the truth is not: inf - inf in the metric below
            return Fit(answer=answer)

    class Spread(MeasuredMetric):
        name, kind, direction = "error", "skewed", "lower"

        def measure(self, trials, fit):
            square = fit.answer.square().sum(-1)
            return square - square

    monkeypatch.setitem(plugins.metrics.items, "error", Spread())
    rows = run(Undefined, n=4)
    assert [row["status"] for row in rows] == ["ok", "ok", "nan", "ok"]
    assert rows[2]["reason"] == "the metric error is not a number"


def test_a_method_cannot_report_what_the_harness_measures(run):
    class Flatters(Method):
        name = "truth"

        def fit(self, trials):
            return Fit(answer=trials["start"].clone(), metrics={"error": torch.zeros(trials.width)})

    (row,) = run(Flatters, n=1)
    assert row["status"] == "error"
    assert "a method cannot report the metric 'error': the harness measures it" in row["reason"]


def test_what_the_user_must_put_right_is_no_outcome_of_a_trial(run):
    class NoData(Method):
        name = "truth"

        def fit(self, trials):
            raise BenchError("there is no CIFAR-10 in data; run bench prepare cifar10")

    with pytest.raises(BenchError, match="CIFAR-10"):
        run(NoData)


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_whatever_a_method_raises_is_an_outcome(run, kind):
    class Quits(Method):
        name = "truth"

        def fit(self, trials):
            if bool((trials["truth"][:, 0] > 0.8).any()):
                raise kind("I quit")
            return Fit(answer=trials["truth"].clone())

    rows = run(Quits, n=10)
    failed = [row for row in rows if row["status"] == "error"]
    assert 0 < len(failed) < 10
    assert {row["reason"] for row in failed} == {f"{kind.__name__}: I quit"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data["observed"].zero_(), "fit changed trials.data['observed'] in place; clone it first"),
        (lambda data: data["truth"][0].add_(1), "fit changed trials.data['truth'] in place; clone it first"),
        (lambda data: data.update(truth=data["start"]), "fit replaced trials.data['truth']; leave it"),
        (lambda data: data.pop("observed"), "fit replaced trials.data['observed']; leave it"),
    ],
)
def test_a_method_that_changes_its_input_is_told_so_and_only_its_guilty_trials_fail(run, change, words):
    class Overwrites(Method):
        name = "truth"

        def fit(self, trials):
            if bool((trials["truth"][:, 0] > 0.8).any()):
                change(trials.data)
            return Fit(answer=trials["start"].clone())

    rows = run(Overwrites, n=10)
    failed = [row for row in rows if row["status"] == "error"]
    assert 0 < len(failed) < 10
    assert all(words in row["reason"] for row in failed)


def test_what_is_no_text_for_a_file_or_a_terminal_is_stored_as_text(run):
    class Garbles(Method):
        name = "truth"

        def fit(self, trials):
            raise RuntimeError("\x1b[31mred\x1b[0m \ud800 " + "long" * 10_000)

    (row,) = run(Garbles, n=1)
    assert row["reason"].startswith(r"RuntimeError: \x1b[31mred\x1b[0m \ud800 long")
    assert len(row["reason"]) == 2000
    assert len(row["traceback"]) == 20_000
    (row["reason"] + row["traceback"]).encode()


def test_an_exception_without_words_costs_its_trial_only(run):
    class WordlessError(RuntimeError):
        def __str__(self):
            raise ValueError

    class Raises(Method):
        name = "truth"

        def fit(self, trials):
            raise WordlessError

    (row,) = run(Raises, n=1)
    assert row["reason"] == "WordlessError: (its message raised ValueError)"
    assert "in fit" in row["traceback"]


def test_the_reason_of_a_nan_is_text_whatever_the_method_gives(run):
    class Odd(Method):
        name = "truth"

        def fit(self, trials):
            return Fit(answer=trials["truth"].clone(), failures={0: ValueError("odd")})

    assert run(Odd, n=1)[0]["reason"] == "odd"


def test_a_budget_that_no_column_holds_is_an_error(run):
    class Endless(Method):
        name = "truth"

        def fit(self, trials):
            return Fit(answer=trials["truth"].clone(), budget={"gradient_steps": 1 << 63})

    assert run(Endless, n=1)[0]["reason"] == "ValueError: a budget must be an integer of 64 bits, got 9.22e+18"


def test_a_full_disk_is_the_users_to_put_right_and_no_outcome(run):
    class Writes(Method):
        name = "truth"

        def fit(self, trials):
            raise OSError(errno.ENOSPC, "No space left on device", "curve.txt")

    with pytest.raises(BenchError, match=r"No space left on device: 'curve.txt'; make room"):
        run(Writes)


@pytest.mark.parametrize("cause", ["No space left on device (os error 28)", "Disk quota exceeded"])
def test_so_is_one_that_a_library_tells_of_or_that_is_behind_another_failure(run, cause):
    class Writes(Method):
        name = "truth"

        def fit(self, trials):
            try:
                raise RuntimeError(f"I/O error: {cause}")
            except RuntimeError as error:
                raise ValueError("not saved") from error

    with pytest.raises(BenchError, match=r"^no room to write to: I/O error: .*; make room"):
        run(Writes)


def test_a_budget_may_be_an_integer_of_numpy(run):
    class Counts(Method):
        name = "truth"

        def fit(self, trials):
            return Fit(answer=trials["truth"].clone(), budget={"gradient_steps": np.int64(3)})

    (row,) = run(Counts, n=1)
    assert row["budget.gradient_steps"] == 3
    assert type(row["budget.gradient_steps"]) is int


def test_an_offer_that_is_not_there_in_a_worker_is_told_with_what_failed_to_load(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "truth", {})
    here = replace(
        plugins,
        methods=replace(plugins.methods, items={}),
        failures=[PluginFailure("mine", "mine.py", "ImportError: no display")],
    )
    with pytest.raises(BenchError, match=r"(?s)unknown method 'truth'.*'mine' from mine.py .* ImportError: no display"):
        run_job(Job(cell, (0,), 1), here, CPU)


@pytest.mark.parametrize(
    ("answer", "lost"),
    [(None, False), (torch.OutOfMemoryError("full"), False), (RuntimeError("CUDA error: illegal access"), True)],
)
def test_a_gpu_that_does_not_answer_is_lost(monkeypatch, answer, lost):
    def synchronize(device):
        if answer is not None:
            raise answer

    monkeypatch.setattr(torch.cuda, "synchronize", synchronize)
    monkeypatch.setattr(torch, "zeros", lambda *_, **__: None)
    assert batch._is_lost("cuda:0") is lost
    assert not batch._is_lost("cpu")


def test_a_lost_gpu_ends_the_batch_as_no_outcome_of_a_trial(run, monkeypatch):
    class Raises(Method):
        name = "truth"

        def fit(self, trials):
            raise RuntimeError("CUDA error: illegal access")

    monkeypatch.setattr(batch, "_is_lost", lambda device: True)
    with pytest.raises(DeviceLostError, match="after RuntimeError: CUDA error: illegal access"):
        run(Raises)


def test_too_little_memory_for_one_trial_says_how_much_there_was(run, monkeypatch):
    class Hungry(Method):
        name = "truth"

        def fit(self, trials):
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(sys.modules[__name__], "CPU", replace(CPU, memory=Share(3 << 29, 4)))
    (row,) = run(Hungry, n=1)
    assert row["batch_size"] == 1
    assert row["reason"] == (
        "out of memory, it needs more than the 1.5 GiB that each of 4 workers has; --workers 1 gives it all "
        "(RuntimeError: DefaultCPUAllocator: can't allocate memory)"
    )
