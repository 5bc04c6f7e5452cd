"""The recovery engine: trials that do not see each other, frozen failures, honest budgets, known success rates."""

from __future__ import annotations

from dataclasses import replace
from statistics import median

import pytest
import torch
from scipy.stats import binom, chi2

from bench_core import Fit, Method
from bench_core.engines.noise import CHUNK, Noise
from bench_core.engines.recovery import GradientMethod
from bench_core.execute.batch import Setting, run_job
from bench_core.plan import Job

CPU = Setting("cpu", None, None)
SHORT = {"iterations": 40}
METHODS = {
    "mmd": SHORT,
    "osmmd": SHORT,
    "mle": SHORT,
    "wgan": {**SHORT, "n_critic": 2},
    "truth": {},
    "init": {},
    "mle_exact": {},
}
CRITICS = ("wgan", "wgan_gp", "sobolev_gan", "mmd_gan", "mmd_gp", "smmd", "gcmmd")
NUMBERS = ("metric.error", "path.loss", "path.error", "data_digest", "budget.gradient_steps")


def numbers(rows):
    return {row["repeat"]: {name: row.get(name) for name in NUMBERS} for row in rows}


def run(plugins, cell, repeats, width):
    return run_job(Job(cell, tuple(repeats), width), plugins, CPU)


PROBLEMS = ["gaussian_mean", "gaussian_cov", "gmm_cov", "linear_unmixing"]
PAIRS = [
    *((problem, method) for problem in PROBLEMS[:2] for method in METHODS),
    *((problem, method) for problem in PROBLEMS[2:] for method in ("mmd", "wgan")),
    ("gmm_cov", "osmmd"),
    ("gmm_cov", "mle"),
    ("linear_unmixing", "vca"),
]


@pytest.mark.parametrize(("problem", "method"), PAIRS)
def test_a_trial_gives_the_same_bits_at_every_width(plugins, make_cell, problem, method):
    cell = make_cell(plugins, problem, {"d": 10, "m": 50}, method, METHODS.get(method, {}))
    reference = numbers(run(plugins, cell, range(64), 64))
    for width, repeats in ((1, (5,)), (2, (0,)), (2, (2, 3)), (7, (3, 5)), (7, range(7)), (50, range(50)), (50, (51,))):
        for repeat, found in numbers(run(plugins, cell, repeats, width)).items():
            assert found == reference[repeat], (width, repeat)


@pytest.mark.parametrize("method", ["mmd", "wgan"])
def test_a_trial_does_not_depend_on_its_neighbours_data(plugins, make_cell, method):
    # The neighbours of trial 3 have other repeats, hence other data, starts and noise.
    cell = make_cell(plugins, "gaussian_cov", {"d": 4, "m": 150}, method, SHORT)
    alone = numbers(run(plugins, cell, (3,), 10))[3]
    assert numbers(run(plugins, cell, (3, 14, 25, 36), 10))[3] == alone


def test_noise_of_two_trials_and_of_two_purposes_differs(plugins, make_cell):
    seen = []

    class Spy(GradientMethod):
        name = "spy"

        def objective(self, task):
            def loss(theta):
                seen.append(task.noise("fakes", (50, 2)).clone())
                seen.append(task.noise("other", (50, 2)).clone())
                return theta.square().sum(-1)

            return loss

    trials = _trials(plugins, make_cell, width=3)
    Spy(iterations=2).fit(trials)
    flat = [tensor[slot] for tensor in seen for slot in range(3)]
    assert all(not torch.equal(a, b) for i, a in enumerate(flat) for b in flat[:i])


def test_noise_does_not_depend_on_the_batch_and_runs_over_chunk_borders(plugins, make_cell):
    shape = (CHUNK // 4,)  # four steps a chunk
    wide, narrow = (Noise(_trials(plugins, make_cell, width=width), "x", shape) for width in (5, 2))
    for _ in range(10):
        assert torch.equal(wide()[:2], narrow())


def _trials(plugins, make_cell, width):
    """The batch that a method sees, caught on its way."""
    caught = []

    class Catch(Method):
        name = "truth"

        def fit(self, trials):
            caught.append(trials)
            return Fit(answer=trials["start"])

    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 50}, "truth", {})
    run_job(Job(cell, tuple(range(width)), width), _with_method(plugins, Catch), CPU)
    return caught[0]


def _with_method(plugins, cls):
    methods = replace(plugins.methods, items={**plugins.methods.items, cls.name: cls})
    return replace(plugins, methods=methods)


def test_a_loss_may_sample_as_often_as_it_likes(plugins, make_cell):
    class Twice(GradientMethod):
        name = "mle"

        def objective(self, task):
            def loss(theta):  # three draws a step at eight steps a chunk: chunks end in the middle of a step
                return sum(task.sample(theta).square().mean((1, 2)) for _ in range(3))

            return loss

    cell = make_cell(plugins, "gaussian_cov", {"d": 10, "m": 400}, "mle", {"iterations": 12})
    (row,) = run_job(Job(cell, (0,), 2), _with_method(plugins, Twice), CPU)
    assert row["status"] == "ok", row
    assert row["budget.generated_samples"] == 3 * 12 * 400


class Fragile(GradientMethod):
    """Quadratic loss that turns NaN in trials whose truth is on one side, at step 6."""

    name = "mle"

    def objective(self, task):
        bad = task.trials["truth"][:, 0] > 0
        steps = iter(range(10**6))

        def loss(theta):
            task.spend(kernel_evaluations=7)
            value = (theta - 1).square().sum(-1)
            return value * torch.where(bad & (next(steps) >= 5), torch.nan, 1.0)

        return loss


def test_a_non_finite_trial_is_frozen_and_its_neighbours_go_on(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "mle", {"iterations": 30})
    rows = run_job(Job(cell, tuple(range(20)), 20), _with_method(plugins, Fragile), CPU)
    failed = [row for row in rows if row["status"] == "nan"]
    fine = [row for row in rows if row["status"] == "ok"]
    assert failed
    assert fine
    for row in failed:
        assert row["reason"] == "the loss became non-finite at step 6"
        assert row["budget.gradient_steps"] == 5
        assert row["budget.kernel_evaluations"] == 6 * 7
        assert "metric.error" not in row
    for row in fine:
        assert row["budget.gradient_steps"] == 30
        assert row["budget.kernel_evaluations"] == 30 * 7
    alone = [run_job(Job(cell, (row["repeat"],), 20), _with_method(plugins, Fragile), CPU)[0] for row in fine[:3]]
    assert [row["metric.error"] for row in alone] == [row["metric.error"] for row in fine[:3]]


def test_a_batch_in_which_every_trial_fails_ends_early(plugins, make_cell):
    calls = []

    class Hopeless(GradientMethod):
        name = "mle"

        def objective(self, task):
            def loss(theta):
                calls.append(1)
                return theta.sum(-1) * torch.inf

            return loss

    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "mle", {"iterations": 1000})
    rows = run_job(Job(cell, (0, 1), 2), _with_method(plugins, Hopeless), CPU)
    assert [row["status"] for row in rows] == ["nan", "nan"]
    assert len(calls) == 1


def test_a_loss_of_the_wrong_shape_is_an_error_that_says_so(plugins, make_cell):
    class Scalar(GradientMethod):
        name = "mle"

        def objective(self, task):
            return lambda theta: theta.sum()

    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "mle", {})
    rows = run_job(Job(cell, (0, 1), 2), _with_method(plugins, Scalar), CPU)
    assert {row["status"] for row in rows} == {"error"}
    assert "the loss must have one value per trial, shape (2,), got ()" in rows[0]["reason"]
    assert "Traceback" in rows[0]["traceback"]


def test_budgets_are_what_was_done(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 30}, "wgan", {"iterations": 10, "n_critic": 3})
    (row,) = run(plugins, cell, (0,), 2)
    assert row["budget.gradient_steps"] == 10
    assert row["budget.critic_steps"] == 30
    assert row["budget.generated_samples"] == 30 * 30
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 30}, "mmd", {"iterations": 10})
    (row,) = run(plugins, cell, (0,), 2)
    assert row["budget.generated_samples"] == 10 * 30
    assert row["budget.kernel_evaluations"] == 10 * (30 * 30 + 30 * 30)  # within the fakes, and across


def test_the_path_ends_at_the_answer_and_holds_about_a_dozen_points(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 30}, "osmmd", {"iterations": 1000})
    (row,) = run(plugins, cell, (0,), 2)
    assert row["path.step"][0] == 1
    assert row["path.step"][-1] == 1000
    assert 8 <= len(row["path.step"]) <= 12
    assert row["path.error"][-1] == row["metric.error"]
    assert row["path.error"][-1] < row["path.error"][0]


def test_iterate_average_is_the_mean_of_the_last_half():
    iterates = []

    class Line(GradientMethod):
        name = "line"

        def objective(self, task):
            def loss(theta):
                iterates.append(theta.detach().clone())
                return theta.sum(-1)

            return loss

    from bench_core.problems.gaussian_mean import GaussianMean
    from bench_core.seeds import Streams
    from bench_core.trials import Trials
    from bench_core.workspace import Workspace

    start = torch.zeros(2, 3, dtype=torch.float64)
    trials = Trials(
        problem=GaussianMean(d=3, m=4),
        data={"start": start, "truth": start, "observed": torch.zeros(2, 4, 3, dtype=torch.float64)},
        streams=[Streams(0), Streams(1)],
        device=torch.device("cpu"),
        dtype=torch.float64,
        workspace=Workspace(None),
        progress=lambda share: None,
    )
    last = Line(iterations=10).fit(trials).answer
    expected = torch.stack([*iterates[6:], last]).mean(0)  # iterates 6 … 10 of 10
    torch.testing.assert_close(Line(iterations=10, iterate="average").fit(trials).answer, expected)


@pytest.mark.parametrize(("ratio", "fakes"), [(1.0, 50), (2.56, 128)])
def test_samples_and_their_count_follow_the_ratio_of_the_problem(plugins, make_cell, ratio, fakes):
    params = {"d": 4, "m": 50, "fakes_ratio": ratio}
    (row,) = run(plugins, make_cell(plugins, "gaussian_mean", params, "mmd", SHORT), (0,), 2)
    assert row["budget.generated_samples"] == 40 * fakes
    assert row["budget.kernel_evaluations"] == 40 * fakes * (fakes + 50)
    (row,) = run(plugins, make_cell(plugins, "gaussian_mean", params, "wgan", {**SHORT, "n_critic": 3}), (0,), 2)
    assert row["budget.generated_samples"] == 40 * 3 * fakes


def test_a_fit_starts_at_the_wanted_point(plugins, make_cell):
    # The first recorded error is that after one step, of at most lr = 1e-6 in every coordinate.
    params = {"d": 4, "m": 50, "r": 2}
    errors = {}
    for init in (None, "vca", "random"):
        method = {"iterations": 1, "lr": 1e-6, "init": init}
        (row,) = run(plugins, make_cell(plugins, "linear_unmixing", params, "mmd", method), (0,), 2)
        errors[init] = row["metric.error"]
    (floor,) = run(plugins, make_cell(plugins, "linear_unmixing", params, "random", {}), (0,), 2)
    (start,) = run(plugins, make_cell(plugins, "linear_unmixing", params, "init", {}), (0,), 2)
    assert errors["random"] == pytest.approx(floor["metric.error"], rel=1e-3)
    assert errors["vca"] == pytest.approx(start["metric.error"], rel=1e-3)
    assert errors[None] == pytest.approx(start["metric.error"], rel=1e-3)
    assert errors["vca"] < errors["random"]


@pytest.mark.parametrize("problem", ["gaussian_mean", "linear_unmixing"])
def test_an_initial_point_that_the_problem_does_not_have_is_a_reason_to_skip(plugins, make_cell, problem):
    cell = make_cell(plugins, problem, {"d": 4, "m": 50}, "mmd", {"init": "vcx"})
    known = "vca, random" if problem == "linear_unmixing" else "its usual one"
    assert cell.skipped == f"{problem} has no initial point 'vcx' (it has: {known})"


def test_unmixing_that_starts_at_the_truth_stays_there(plugins, make_cell):
    class FromTruth(plugins.methods.get("mmd")):
        def fit(self, trials):
            return super().fit(replace(trials, data={**trials.data, "start": trials["truth"]}))

    items = {**plugins.methods.items, "mmd": FromTruth}
    patched = replace(plugins, methods=replace(plugins.methods, items=items))
    params = {"d": 10, "r": 3, "m": 400, "noise": 0.001, "fakes_ratio": 1.0}
    method = {"bandwidth": 0.1, "lr": 0.01, "iterations": 300, "iterate": "average"}
    cell = make_cell(plugins, "linear_unmixing", params, "mmd", method, metrics=("error", "distance"))
    distances = [row["metric.distance"] for row in run(patched, cell, range(10), 10)]
    init = replace(cell, method="init", method_params={})
    starts = [row["metric.distance"] for row in run(plugins, init, range(10), 10)]
    assert all(distance < start for distance, start in zip(distances, starts, strict=True))
    assert sum(distances) < 0.65 * sum(starts)  # the error of an estimate from 400 pixels is left


def _successes(plugins, make_cell, method, params, m, trials=400):
    cell = make_cell(plugins, "gaussian_mean", {"d": 10, "m": m}, method, params)
    rows = [row for first in range(0, trials, 50) for row in run(plugins, cell, range(first, first + 50), 50)]
    return sum(row["metric.error"] < 0.02 for row in rows)


@pytest.mark.parametrize("m", [200, 400])
@pytest.mark.parametrize(("method", "params"), [("mle_exact", {}), ("mle", {"iterations": 300, "schedule": "linear"})])
def test_the_success_of_maximum_likelihood_is_that_of_a_chi_square(plugins, make_cell, method, params, m):
    # ||mean(y) - mu*||² m is chi-square with d degrees of freedom; success: it is below (0.02 d)² m.
    probability = chi2.cdf((0.02 * 10) ** 2 * m, df=10)
    low, high = binom.interval(1 - 1e-4, 400, probability)
    assert low <= _successes(plugins, make_cell, method, params, m) <= high


def test_truth_always_succeeds_and_the_start_never(plugins, make_cell):
    assert _successes(plugins, make_cell, "truth", {}, 100) == 400
    assert _successes(plugins, make_cell, "init", {}, 100) <= 1


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("method", dict.fromkeys((*METHODS, *CRITICS)))
def test_the_gpu_gives_what_the_cpu_gives(plugins, make_cell, method):
    # Noise differs between devices; what does not draw any agrees, the others reach comparable errors.
    cell = make_cell(
        plugins,
        "gaussian_mean",
        {"d": 4, "m": 200},
        method,
        {**METHODS.get(method, METHODS["wgan"]), "dtype": "float64"},
    )
    job = Job(cell, tuple(range(10)), 10)
    cpu, gpu = (run_job(job, plugins, Setting(device, None, None)) for device in ("cpu", "cuda"))
    assert [row["status"] for row in gpu] == ["ok"] * 10
    ours, theirs = ([row["metric.error"] for row in rows] for rows in (cpu, gpu))
    if method in ("mmd", *CRITICS):
        assert 0.5 < median(theirs) / median(ours) < 2
    else:
        assert ours == pytest.approx(theirs, rel=1e-6)
