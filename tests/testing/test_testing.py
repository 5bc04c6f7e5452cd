"""How checks are found, run, limited in time and reported."""

from __future__ import annotations

import importlib.util
import inspect
import random
import subprocess
import sys
import time
from typing import ClassVar

import numpy as np
import pytest
import torch
from pydantic import Field

from bench_core import Fit, Method, Problem
from bench_core.errors import BenchError, PluginError
from bench_core.metrics import DerivedMetric
from bench_core.plugins import PluginSources, load_plugins
from bench_core.problems.gaussian_mean import GaussianMean
from bench_core.testing import Check, ContractError, Report, Result, check_plugin, checks_of, contract_tests
from bench_core.testing._lab import Kit
from bench_core.testing._methods import MethodLab
from bench_core.testing._twin import Twin
from bench_core.testing._watch import watch
from bench_core.testing.checks import (
    NotApplicableError,
    Subject,
    TimeIsUp,
    ViolationError,
    describe,
    run_all,
    time_limit,
)
from bench_core.testing.plugin import plugin_checks

PLUGIN = '''\
"""A plugin."""
from bench_core import Fit, Method, hookimpl


class Mine(Method):
    """The mean."""

    name = "mine"
    needs = frozenset({"recovery", "log_density"})

    def unfit(self, problem):
        return "two parameters" if problem.name == "gaussians_1d" else super().unfit(problem)

    def fit(self, trials):
        return Fit(answer=trials["observed"].mean(-2))


@hookimpl
def bench_register_methods():
    return [Mine]
'''


class Mean(Method):
    """The mean of the data."""

    name = "mean"
    needs: ClassVar[frozenset[str]] = frozenset({"recovery", "log_density"})

    def unfit(self, problem):
        return "two parameters" if problem.name == "gaussians_1d" else super().unfit(problem)

    def fit(self, trials):
        return Fit(answer=trials["observed"].mean(-2))


def check(body, **subject):
    return Check(Subject("method", "mine", "mine.py", **subject), "a demand", "It is so.", body)


def named(checks, name):
    (found,) = [each for each in checks if each.name == name]
    return found


# ---- checks and reports ----------------------------------------------------------------------------------------------


def test_a_check_passes_when_nothing_is_raised():
    result = check(lambda: None).run()
    assert (result.status, str(result)) == ("passed", "method mine: a demand: passed")


def test_a_violation_is_a_failure_with_three_parts():
    def body():
        raise ViolationError("this", "that", "do so")

    result = check(body).run()
    expected = "method mine: a demand: failed\n  required: this\n  came:     that\n  cure:     do so"
    assert str(result) == expected
    with pytest.raises(ContractError, match="do so"):
        Report((result,)).raise_if_failed()


@pytest.mark.parametrize("error", [NotApplicableError("no data"), BenchError("no data")])
def test_what_does_not_apply_is_skipped_with_its_reason(error):
    def body():
        raise error

    result = check(body).run()
    assert (result.status, result.reason) == ("skipped", "no data")
    Report((result,)).raise_if_failed()


@pytest.mark.parametrize("error", [RuntimeError("broken\ntwice"), SystemExit(3)])
def test_whatever_is_raised_is_a_failure_that_names_the_line(error):
    def body():
        raise error

    result = check(body).run()
    assert result.status == "failed"
    assert result.came.startswith(type(error).__name__)
    assert "(test_testing.py, line " in result.came
    assert "\n" not in result.came


def test_an_interrupt_of_the_user_interrupts():
    def body():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(body).run()


def test_what_hangs_is_stopped_told_and_the_rest_of_the_subject_is_skipped():
    def body():
        while True:
            try:
                time.sleep(10)
            except Exception:  # as bad code does
                continue

    hanging = check(body)
    report = run_all([hanging, Check(hanging.subject, "next", "It is so.", lambda: None)], timeout=0.2)
    hung, rest = report.results
    assert hung.seconds < 5
    assert hung.required == "to finish within 0.2 s"
    assert "still running at test_testing.py, line " in hung.came
    assert (rest.status, rest.reason) == ("skipped", "an earlier check took too long")


def test_a_check_runs_on_one_thread_and_leaves_the_number_as_it_was():
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        seen = []
        check(lambda: seen.append(torch.get_num_threads())).run()
        assert seen == [1]
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_report_counts():
    results = [Result(check(lambda: None), status) for status in ("passed", "failed", "failed", "skipped")]
    report = Report(tuple(results))
    assert [report.count(status) for status in ("passed", "failed", "skipped")] == [1, 2, 1]
    assert len(str(report).splitlines()) == 2 + 2 * 4


def test_describe_names_the_innermost_line_of_the_plugin():
    with pytest.raises(RuntimeError) as caught:
        torch.zeros(2).view(3)
    assert describe(caught.value).startswith("RuntimeError: shape '[3]' is invalid")
    assert "(test_testing.py, line " in describe(caught.value)


# ---- watching --------------------------------------------------------------------------------------------------------


def test_watching_sees_and_restores():
    random.seed(1)
    before = random.getstate()
    state = np.random.get_state()[1].tolist()

    def call():
        random.random()
        np.random.rand()
        torch.set_default_dtype(torch.float64)
        print("hello")
        return 7

    seen = watch(call)
    assert seen.result == 7
    assert set(seen.moved) == {"numpy.random", "random"}
    assert seen.changed == ("torch's default dtype (from torch.float32 to torch.float64)",)
    assert seen.printed == "hello\n"
    assert random.getstate() == before
    assert np.random.get_state()[1].tolist() == state
    assert torch.get_default_dtype() == torch.float32


def test_watching_restores_after_an_exception():
    def call():
        torch.set_grad_enabled(False)
        raise RuntimeError

    with pytest.raises(RuntimeError):
        watch(call)
    assert torch.is_grad_enabled()


def test_watching_outlives_a_precision_per_backend():
    before = torch.get_float32_matmul_precision()

    def call():
        torch.backends.mkldnn.matmul.fp32_precision = "bf16"
        torch.backends.cuda.matmul.fp32_precision = "tf32"

    if not hasattr(torch.backends.mkldnn.matmul, "fp32_precision"):
        pytest.skip("PyTorch has no such setting")
    assert "torch.backends.cuda.matmul.fp32_precision" in " ".join(watch(call).changed)
    assert torch.get_float32_matmul_precision() == before
    assert watch(lambda: None).changed == ()


# ---- checks of a class ----------------------------------------------------------------------------------------------


def test_a_class_that_stands_anywhere_is_checked():
    report = run_all(checks_of(Mean))
    assert report.failed == []
    skipped = {result.check.name: result.reason for result in report.results if result.status == "skipped"}
    assert skipped["fresh process"] == "the class does not come from a plugin"


def test_problems_can_be_given():
    class Picky(Mean):
        """The mean in seven dimensions."""

        name = "picky"

        def unfit(self, problem):
            return None if problem.d == 7 else "d must be 7"

    name = "fit"
    names = ("dirac", "gaussian_cov", "gaussian_mean", "gaussians_1d", "gmm_cov", "gmm_mean", "linear_unmixing")
    reasons = "; ".join(f"{each}: d must be 7" for each in names)
    assert named(checks_of(Picky), name).run().came == f"none ({reasons})"
    assert named(checks_of(Picky, problems=[GaussianMean(d=7, m=20)]), name).run().status == "passed"


def test_quick_parameters_of_base_classes_count_and_the_nearest_wins():
    seen = []

    class Base(Mean):
        """A base."""

        quick: ClassVar = {"a": 1, "b": 2}
        a: int = Field(10, ge=1)
        """A."""
        b: int = Field(20, ge=1)
        """B."""

    class Derived(Base):
        """A derived one."""

        quick: ClassVar = {"b": 3}

        def fit(self, trials):
            seen.append((self.a, self.b))
            return super().fit(trials)

    named(checks_of(Derived), "fit").run()
    assert set(seen) == {(1, 3)}


def test_what_is_neither_is_refused():
    with pytest.raises(TypeError, match="a method or problem class or a metric is checked, got <class 'int'>"):
        checks_of(int)


def test_on_a_problem_whose_data_are_missing_nothing_is_tried(repo):
    class Absent(GaussianMean):
        """Data that are not there."""

        name = "absent"

        def draw(self, streams, folder):
            raise BenchError("the images are not there; run `bench prepare`")

    assert "the images are not there" in named(checks_of(Mean, problems=[Absent()]), "fit").run().came
    assert named(checks_of(Absent), "draw").run().reason.startswith("the images are not there")


def test_a_fit_that_needs_what_is_not_there_is_skipped_with_the_reason():
    class Gpu(Mean):
        """Needs a GPU."""

        name = "gpu"

        def fit(self, trials):
            raise BenchError("it needs a GPU")

    report = run_all(checks_of(Gpu, device="cpu"))
    assert report.failed == []
    reasons = {result.check.name: result.reason for result in report.results}
    assert reasons["fit"] == reasons["same seed"] == "it needs a GPU"
    kit = Kit(load_plugins(PluginSources()), "cpu", [GaussianMean(d=7, m=20)])
    assert MethodLab(Gpu, kit, "", loaded=False).device == "cpu"
    kit.device = "cuda"
    assert MethodLab(Gpu, kit, "", loaded=False).device == "cuda"
    assert MethodLab(Mean, kit, "", loaded=False).device == "cpu"


class Pictures(Problem):
    """The same data in each trial, as a data set has them."""

    name = "pictures"
    capabilities = frozenset({"pictures"})

    def draw(self, streams, folder):
        return {"train": np.arange(8.0)}

    def size(self):
        return 8


class Networks(Method):
    """A list of models, one per trial, or an answer without anything per trial."""

    name = "networks"
    needs: ClassVar[frozenset[str]] = frozenset({"pictures"})
    whole: ClassVar[bool] = False
    clock: ClassVar[bool] = False

    def fit(self, trials):
        models = [torch.nn.Linear(3, 2) for _ in trials.streams]
        for i, model in enumerate(models):
            for tensor in model.parameters():
                tensor.data.fill_(trials["train"][i].sum().item() + (time.perf_counter() % 1 if self.clock else 0))
        return Fit(answer="nothing" if self.whole else models)


@pytest.mark.filterwarnings("ignore")
def test_models_in_a_list_are_compared_and_what_is_not_per_trial_is_skipped(monkeypatch):
    def result(name):
        return named(checks_of(Networks, problems=[Pictures()], device="cpu"), name).run()

    torch_state = torch.get_rng_state()
    assert result("same seed").status == "passed"
    assert result("widths").status == "passed"
    monkeypatch.setattr(Networks, "clock", True)
    assert result("same seed").status == "failed"
    monkeypatch.setattr(Networks, "whole", True)
    for name in ("same seed", "independent", "poisoned neighbour", "widths", "fresh process"):
        assert result(name).reason == "nothing in the answer belongs to single trials"
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_equal_data_in_all_trials_are_right_where_nothing_is_drawn():
    assert named(checks_of(Pictures), "different trials").run().reason == "it draws nothing at random"


def test_instances_of_one_problem_are_fitted_each():
    seen = set()

    class Counts(Mean):
        """Sees the size."""

        name = "counts"

        def fit(self, trials):
            seen.add(trials.problem.m)
            return super().fit(trials)

    problems = [GaussianMean(d=7, m=20), GaussianMean(d=1, m=21)]
    named(checks_of(Counts, problems=problems), "same seed").run()
    assert seen == {20, 21}


def test_a_derived_metric_may_give_nan_and_round():
    class Log(DerivedMetric):
        """Not a number above 1."""

        name = "log_share"
        kind = "mean"
        direction = "lower"
        needs = frozenset({"recovery"})
        source = "error"

        def derive(self, problem, source):
            return (source - source) / 0.3 if isinstance(source, float) else (source - source) * (1 / 0.3)

    assert named(checks_of(Log()), "derived").run().status == "passed"


# ---- plugins ---------------------------------------------------------------------------------------------------------


def test_a_plugin_is_checked_by_path(project):
    project({"mine.py": PLUGIN})
    report = check_plugin("mine.py", device="cpu")
    report.raise_if_failed()
    assert {str(result.check.subject) for result in report.results} == {"method mine"}
    assert [result.check.name for result in report.results if result.status == "skipped"] == ["options", "CUDA"]


def test_in_a_pytest_of_ones_own_there_is_a_case_per_check(project):
    folder = project(
        {
            "plugins/mine.py": PLUGIN.replace('"""The mean."""', "pass"),
            "test_mine.py": "from bench_core.testing import contract_tests\n"
            'test_contract = contract_tests("plugins/mine.py", device="cpu")\n',
        }
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-rsf", "test_mine.py"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "FAILED test_mine.py::test_contract[method mine: documented]" in done.stdout
    assert "cure:     put" in done.stdout
    assert "1 failed, 19 passed, 2 skipped" in done.stdout


def test_docstrings_are_found_in_a_file_that_is_loaded_under_another_name_as_well(project, monkeypatch):
    text = PLUGIN.replace("    def fit", '    rate: float = Field(1.0, gt=0)\n    """A rate."""\n\n    def fit')
    folder = project({"mine.py": text.replace("from bench_core", "from pydantic import Field\nfrom bench_core")})
    spec = importlib.util.spec_from_file_location("also_mine", folder / "mine.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "also_mine", module)
    spec.loader.exec_module(module)
    inspect.getmodule(module.Mine)  # as a debugger or pytest does
    assert named(plugin_checks("mine.py", device="cpu"), "documented").run().status == "passed"


def test_contract_tests_have_a_time_limit(project):
    project({"mine.py": PLUGIN.replace("return Fit", "import time; time.sleep(9)\n        return Fit")})
    test = contract_tests("mine.py", device="cpu", timeout=0.5)
    (slow,) = [check for check in test.pytestmark[0].args[1] if check.name == "fit"]
    with pytest.raises(AssertionError, match=r"to finish within 0\.5 s(.|\n)*--timeout"):
        test(slow)


def test_contract_tests_of_a_plugin_that_does_not_load_say_why(project):
    project({"mine.py": "1 / 0\n"})
    with pytest.raises(PluginError, match=r"mine\.py was left out: ZeroDivisionError: division by zero \(line 1\)"):
        contract_tests("mine.py")


def test_importing_it_needs_neither_torch_nor_pytest():
    code = "import sys; sys.modules['torch'] = sys.modules['pytest'] = None; import bench_core.testing"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_fresh_process_that_ends_is_told():
    twin = Twin(PluginSources(blocked=frozenset({"no_such_plugin"})))
    for _ in range(2):  # the second time of a process of its own
        with pytest.raises(ViolationError, match="it ended with exit code 1"):
            twin.ask("method", "mine", None, [0])


def test_after_a_time_out_the_next_question_goes_to_a_fresh_process():
    twin = Twin(PluginSources())
    with pytest.raises(TimeIsUp), time_limit(0.2, [""]):
        twin.ask("problem", "gaussian_cov", None, [0])
    first, second = (twin.ask("problem", name, None, [0]) for name in ("gaussian_mean", "gaussian_cov"))
    assert first != second
    assert first == twin.ask("problem", "gaussian_mean", None, [0])
