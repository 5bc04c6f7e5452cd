from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench_core import plan as plan_module
from bench_core.errors import SuiteError
from bench_core.plan import WIDTHS, WORKING_SET, Cell, Job, Plan, batch_width, jobs, make_plan
from bench_core.plugins import Plugins, PluginSources, load_plugins
from bench_core.seeds import canonical, short_id
from bench_core.suite import load_suite

SUITE = """\
name: s
title: Two problems, three labels
trials: 20
problems:
  - name: gaussian_mean
    params: {threshold: 0.1}
    grid: {d: [2, 3], m: [50, 100]}
  - name: gaussian_cov
    params: {d: 4, m: 60}
methods:
  - name: mmd
    params: {lr: 0.2}
  - name: mmd
    label: mmd-slow
    trials: 5
  - name: truth
metrics: [success, error]
report: {metric: success, x: m}
"""

Planner = Callable[..., Plan]


@pytest.fixture
def planned(tmp_path: Path, plugins: Plugins) -> Planner:
    """Plan the text of a suite called s."""

    def make(text: str, loaded: Plugins = plugins, device: str = "cpu") -> Plan:
        path = tmp_path / "s.yaml"
        path.write_text(text, encoding="utf-8")
        return make_plan(load_suite(path), loaded, device=device)

    return make


def changed(old: str, new: str) -> str:
    assert SUITE.count(old) == 1, old
    return SUITE.replace(old, new)


# ---- cells -----------------------------------------------------------------------------------------------------------


def test_cells_are_problems_times_grid_times_methods_in_order(planned: Planner) -> None:
    plan = planned(SUITE)
    labels = ["mmd", "mmd-slow", "truth"]
    problems = [("gaussian_mean", d, m) for d in (2, 3) for m in (50, 100)] + [("gaussian_cov", 4, 60)]
    seen = [(c.problem, c.problem_params["d"], c.problem_params["m"], c.label) for c in plan.cells]
    assert seen == [(*problem, label) for problem in problems for label in labels]
    assert len({cell.problem_key for cell in plan.cells}) == 5
    assert plan.trials == 5 * (20 + 5 + 20)


def test_a_cell_holds_all_parameters_with_their_defaults(planned: Planner) -> None:
    cell = planned(SUITE).cells[0]
    assert cell.problem_params == {"d": 2, "m": 50, "threshold": 0.1, "fakes_ratio": 1.0, "init_distance": None}
    assert cell.data_params == {"d": 2, "m": 50}
    assert {"lr": 0.2, "bandwidth": 10.0, "schedule": "constant", "dtype": "float32"}.items() <= (
        cell.method_params.items()
    )
    assert (cell.suite, cell.seed, cell.split, cell.device, cell.x) == ("s", 0, "main", "cpu", 50)
    assert cell.metrics == ("error",)  # success follows from it and is not measured


def test_trials_of_an_entry_replace_those_of_the_suite(planned: Planner) -> None:
    assert [cell.trials for cell in planned(SUITE).cells[:3]] == [20, 5, 20]


def test_without_x_cells_have_none(planned: Planner) -> None:
    assert planned(changed(", x: m", "")).cells[0].x is None


def test_controls_are_marked(planned: Planner) -> None:
    assert [cell.control for cell in planned(SUITE).cells[:3]] == [False, False, True]


def test_a_cell_travels_as_plain_data(planned: Planner) -> None:
    for cell in planned(SUITE).cells:
        data = dataclasses.asdict(cell)
        assert json.loads(json.dumps(data)) == {**data, "metrics": list(cell.metrics)}


# ---- trial ids -------------------------------------------------------------------------------------------------------

CELL = Cell(
    suite="s",
    label="mine",
    method="m",
    method_params={"dtype": "float32", "init": None, "lr": 0.1},
    method_identity={"dtype": "float32", "lr": 0.1},
    method_version="1",
    method_digest="a",
    control=False,
    problem="p",
    problem_params={"d": 2, "threshold": 0.1},
    problem_identity={"d": 2},
    data_params={"d": 2},
    problem_version="1",
    problem_digest="b",
    x=2,
    metrics=("error",),
    trials=20,
    width=10,
    working_set=1000,
    skipped=None,
    seed=0,
    split="main",
    choice={},
    device="cpu",
)

DECIDES: dict[str, Any] = {
    "method": "n",
    "method_identity": {"dtype": "float32", "lr": 0.2},
    "method_version": "2",
    "problem": "q",
    "problem_identity": {"d": 3},
    "problem_version": "2",
    "seed": 1,
    "split": "select",
}
DOES_NOT: dict[str, Any] = {
    "suite": "t",
    "label": "yours",
    "method_digest": "c",
    "control": True,
    "method_params": {"dtype": "float32", "init": None, "lr": 0.2},
    "problem_params": {"d": 2, "threshold": 0.7},
    "data_params": {"d": 3},
    "problem_digest": "d",
    "x": 3,
    "metrics": ("error", "other"),
    "trials": 800,
    "width": 50,
    "working_set": 1,
    "skipped": "it does not fit",
    "choice": {"lr": 0.2},
    "device": "cuda",
}


def test_the_id_of_a_spec_is_the_known_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # A change here makes every stored trial run again.
    monkeypatch.setattr(plan_module, "NUMERICS_VERSION", "1")
    assert CELL.spec(3) == (
        '{"dtype":"float32","method":"m","method_params":{"dtype":"float32","lr":0.1},"method_version":"1",'
        '"numerics":"1","problem":"p","problem_params":{"d":2},"problem_version":"1",'
        '"repeat":3,"seed":0,"split":"main"}'
    )
    assert CELL.trial_id(3) == "d6b46e84705e5086"


@given(st.integers(0, 10**9))
def test_a_spec_is_canonical(repeat: int) -> None:
    assert canonical(json.loads(CELL.spec(repeat))) == CELL.spec(repeat)
    assert short_id(CELL.spec(repeat)) == CELL.trial_id(repeat)


def test_every_field_of_a_cell_either_decides_the_id_or_does_not() -> None:
    assert {field.name for field in dataclasses.fields(Cell)} == {*DECIDES, *DOES_NOT}


@pytest.mark.parametrize("field", DECIDES)
def test_an_id_differs_with(field: str) -> None:
    assert dataclasses.replace(CELL, **{field: DECIDES[field]}).trial_id(3) != CELL.trial_id(3)


@pytest.mark.parametrize("field", DOES_NOT)
def test_an_id_is_the_same_whatever_the(field: str) -> None:
    assert dataclasses.replace(CELL, **{field: DOES_NOT[field]}).trial_id(3) == CELL.trial_id(3)


def test_a_later_parameter_enters_ids_and_noise_where_it_is_not_at_its_default(planned: Planner) -> None:
    old, same, other = (
        planned(changed("m: [50, 100]", f"m: [50, 100]{more}")).cells[0]
        for more in ("", ", fakes_ratio: [1]", ", fakes_ratio: [4]")
    )
    assert '"problem_params":{"d":2,"m":50}' in old.spec(0)
    assert '"init"' not in old.spec(0)
    assert (same.trial_id(3), same.noise_path(3)) == (old.trial_id(3), old.noise_path(3))
    assert '"fakes_ratio":4.0' in other.spec(0)
    assert other.trial_id(3) != old.trial_id(3)


def test_a_rule_leaves_the_data_as_they_are_and_what_moves_the_start_does_not(planned: Planner) -> None:
    old, ratio, distance = (
        planned(changed("m: [50, 100]", f"m: [50, 100]{more}")).cells[0]
        for more in ("", ", fakes_ratio: [4]", ", init_distance: [2]")
    )
    assert ratio.data_path(3) == old.data_path(3) != distance.data_path(3)


def test_an_id_differs_with_repeat_dtype_and_numerics(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = {CELL.trial_id(repeat) for repeat in range(1000)}
    assert len(ids) == 1000
    assert dataclasses.replace(CELL, method_params={"dtype": "float64"}).trial_id(3) not in ids
    monkeypatch.setattr(plan_module, "NUMERICS_VERSION", "other")
    assert dataclasses.replace(CELL).trial_id(3) not in ids  # a new cell: a cell keeps its spec


def test_two_labels_of_one_configuration_share_their_trials(planned: Planner) -> None:
    text = changed("    label: mmd-slow\n    trials: 5\n", "    label: again\n    trials: 5\n    params: {lr: 0.2}\n")
    first, second = planned(text).cells[:2]
    assert [first.trial_id(repeat) for repeat in second.repeats] == [second.trial_id(r) for r in second.repeats]


def test_a_default_written_out_is_the_same_trial(planned: Planner) -> None:
    plain, explicit = planned(SUITE), planned(changed("{lr: 0.2}", "{lr: 0.2, bandwidth: 10}"))
    assert plain.cells[0].trial_id(0) == explicit.cells[0].trial_id(0)


def test_another_threshold_is_the_same_trial_in_another_problem_cell(planned: Planner) -> None:
    before, after = planned(SUITE).cells[0], planned(changed("threshold: 0.1", "threshold: 0.2")).cells[0]
    assert before.trial_id(0) == after.trial_id(0)
    assert before.problem_key != after.problem_key


# ---- what a plan refuses ---------------------------------------------------------------------------------------------


LR = "{lr: 0.2}"


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            "name: truth",
            "name: thruth",
            "16: methods[2].name",
            "unknown method 'thruth'; did you mean 'truth'?",
        ),
        (
            "name: gaussian_cov",
            "name: gausian_cov",
            "8: problems[1].name",
            "unknown problem 'gausian_cov'; did you",
        ),
        ("[success, error]", "[success, eror]", "17: metrics[1]", "unknown metric 'eror'; did you mean 'error'?"),
        ("x: m", "x: n", "18: report.x", "no problem of this suite has a parameter 'n'"),
        (LR, "{lrs: 0.2}", "12: methods[0].params.lrs", "mmd has no parameter 'lrs'; did you mean 'lr'?"),
        (
            "threshold",
            "treshold",
            "6: problems[0].params.treshold",
            "gaussian_mean has no parameter 'treshold'; did",
        ),
        ("d: [2, 3]", "n: [2, 3]", "7: problems[0].grid.n[0]", "gaussian_mean has no parameter 'n'"),
        (LR, "{lr: -1}", "12: methods[0].params.lr", "mmd: input should be greater than 0, got -1"),
        (LR, "{lr: '0.1'}", "12: methods[0].params.lr", "mmd: input should be a valid number, got '0.1'"),
        (LR, "{lr: true}", "12: methods[0].params.lr", "mmd: input should be a valid number, got True"),
        (LR, "{lr: [0.1]}", "12: methods[0].params.lr", "mmd: input should be a valid number, got [0.1]"),
        (LR, "{lr: null}", "12: methods[0].params.lr", "mmd: input should be a valid number, got None"),
        (LR, "{lr: .nan}", "12: methods[0].params.lr", "required a finite number, got .nan"),
        (
            LR,
            "{iterations: true}",
            "12: methods[0].params.iterations",
            "mmd: input should be a valid integer, got",
        ),
        (LR, "{iterations: 1.5}", "12: methods[0].params.iterations", "mmd: input should be a valid integer, got 1.5"),
        (LR, "{iterations: 0}", "12: methods[0].params.iterations", "mmd: input should be greater than or equal to 1"),
        (LR, "{schedule: fast}", "12: methods[0].params.schedule", "mmd: input should be 'constant', 'linear' or"),
        ("d: 4", "d: 0", "9: problems[1].params.d", "gaussian_cov: input should be greater than or equal to 1, got 0"),
        ("m: [50, 100]", "m: [50, 1]", "7: problems[0].grid.m[1]", "gaussian_mean: input should be greater than or"),
        ("m: [50, 100]", "m: [50, x]", "7: problems[0].grid.m[1]", "gaussian_mean: input should be a valid integer"),
        (
            "  - name: gaussian_cov\n    params: {d: 4, m: 60}",
            "  - name: gaussian_mean\n    params: {d: 3, m: 100, threshold: 0.1}",
            "8: problems[1]",
            "the same problem cell stands here twice: gaussian_mean {'d': 3, 'm': 100, 'threshold': 0.1, ",
        ),
    ],
)
def test_a_fault_names_file_line_and_key(
    planned: Planner, tmp_path: Path, old: str, new: str, at: str, message: str
) -> None:
    with pytest.raises(SuiteError) as caught:
        planned(changed(old, new))
    assert str(caught.value).startswith(f"{tmp_path / 's.yaml'}:{at}: {message}")
    assert "\n" not in str(caught.value)


def test_metrics_that_a_problem_does_not_have_are_refused_where_none_is_left(planned: Planner, tmp_path: Path) -> None:
    loaded = load_plugins(PluginSources(folders=(toy_plugins(tmp_path),)))
    with pytest.raises(SuiteError, match=r"s.yaml:12: metrics: none of them exists for the problem 'toy'"):
        planned(TOY.replace("[seen]", "[error]"), loaded)


def test_a_suite_that_needs_a_plugin_that_failed_names_the_failure(planned: Planner, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "flow.py").write_text("import no_such_module\n", encoding="utf-8")
    loaded = load_plugins(PluginSources(folders=(tmp_path / "plugins",)))
    with pytest.raises(SuiteError) as caught:
        planned(changed("name: truth", "name: flow"), loaded)
    assert "methods[2].name: unknown method 'flow'" in str(caught.value)
    assert re.search(
        r"plugin 'flow' from .*flow.py was left out: .*No module named 'no_such_module'", str(caught.value)
    )


# ---- pairs that do not fit -------------------------------------------------------------------------------------------

TOY = """\
name: s
title: A problem whose abilities depend on its parameters
trials: 20
problems:
  - name: toy
    grid: {smooth: [true, false]}
methods:
  - name: needs_smooth
  - name: needs_magic
  - name: needs_nothing
# a comment
metrics: [seen]
"""


def toy_plugins(folder: Path) -> Path:
    plugin = """\
from bench_core import Fit, Method, Problem, hookimpl
from bench_core.metrics import MeasuredMetric

class Toy(Problem):
    name = "toy"
    smooth: bool = True
    @property
    def capabilities(self):
        return frozenset({"smoothness"} if self.smooth else ())
    def lacks(self):
        return {"smoothness": "smooth is false"}
    def draw(self, streams, folder):
        return {}

class Base(Method):
    name = "needs_nothing"
    def fit(self, trials):
        return Fit(answer=None)
class Smooth(Base):
    name = "needs_smooth"
    needs = frozenset({"smoothness"})
class Magic(Base):
    name = "needs_magic"
    needs = frozenset({"smoothness", "magic"})

class Seen(MeasuredMetric):
    name, kind, direction = "seen", "mean", "higher"
    def measure(self, trials, fit):
        return trials["x"]

@hookimpl
def bench_register_problems():
    return [Toy]
@hookimpl
def bench_register_methods():
    return [Base, Smooth, Magic]
@hookimpl
def bench_register_metrics():
    return [Seen()]
"""
    (folder / "toys").mkdir()
    (folder / "toys" / "toy.py").write_text(plugin, encoding="utf-8")
    return folder / "toys"


def test_a_pair_that_does_not_fit_is_skipped_with_its_reason(planned: Planner, tmp_path: Path) -> None:
    plan = planned(TOY, load_plugins(PluginSources(folders=(toy_plugins(tmp_path),))))
    assert [cell.skipped for cell in plan.cells] == [
        None,
        "toy has no magic",
        None,
        "smooth is false",
        "toy has no magic; smooth is false",
        None,
    ]
    assert [len(cell.repeats) for cell in plan.cells] == [20, 1, 20, 1, 1, 20]  # one row for a skipped cell
    assert plan.trials == 60


# ---- batches ---------------------------------------------------------------------------------------------------------


@given(st.integers(1, 1 << 50), st.sampled_from(["cpu", "cuda"]))
def test_a_width_divides_the_usual_repeats_and_fits(working_set: int, device: str) -> None:
    width = batch_width(working_set, device)
    assert {"cpu": 50, "cuda": 1000}[device] % width == 0
    assert width * working_set <= WORKING_SET[device] or width == 1
    # Alone only where two do not fit: a product of one row rounds otherwise than one of two.
    assert width > 1 or 2 * working_set > WORKING_SET[device]


@given(st.integers(1, 1 << 40), st.integers(1, 1 << 40), st.sampled_from(["cpu", "cuda"]))
def test_larger_trials_never_run_in_wider_batches(a: int, b: int, device: str) -> None:
    assert batch_width(min(a, b), device) >= batch_width(max(a, b), device)


def test_the_width_does_not_depend_on_the_number_of_trials(planned: Planner) -> None:
    few, many = planned(changed("trials: 20", "trials: 1")), planned(changed("trials: 20", "trials: 10000"))
    assert [cell.width for cell in few.cells] == [cell.width for cell in many.cells]


def test_a_batch_of_holdout_trials_has_no_slot_without_a_trial(planned: Planner) -> None:
    tuned = changed("params: {lr: 0.2}", "select: {grid: {lr: [0.1, 0.2]}, metric: error, trials: 20}")
    widths = {cell.width for cell in planned(tuned, device="cuda").cells if cell.split == "select"}
    assert widths == {20}


def test_a_gpu_runs_more_trials_at_once(planned: Planner) -> None:
    assert planned(SUITE, device="cuda").cells[0].width == 1000
    assert planned(SUITE).cells[0].width == 50


@given(st.sets(st.integers(0, 300)), st.sampled_from(WIDTHS["cpu"]))
def test_a_repeat_runs_in_the_same_slot_and_batch_whatever_is_missing(missing: set[int], width: int) -> None:
    cell = dataclasses.replace(CELL, trials=301, width=width)
    batches = list(jobs(cell, missing))
    assert [repeat for job in batches for repeat in job.repeats] == sorted(missing)
    full = {repeat: index for index, job in enumerate(jobs(cell, cell.repeats)) for repeat in job.repeats}
    for job in batches:
        assert job.width == width
        assert len({full[repeat] for repeat in job.repeats}) == 1
        assert len({repeat % width for repeat in job.repeats}) == len(job.repeats)
    assert len({full[job.repeats[0]] for job in batches}) == len(batches)  # and no batch is torn in two


@given(st.sets(st.integers(0, 49), min_size=2))
def test_halves_hold_every_repeat_once_and_keep_the_slots(repeats: set[int]) -> None:
    job = Job(CELL, tuple(sorted(repeats)), 50)
    first, second = job.halves()
    assert first.repeats + second.repeats == job.repeats
    assert 0 <= len(first.repeats) - len(second.repeats) <= 1
    assert (first.width, second.width) == (50, 50)


def test_the_name_of_a_batch_says_which_work_it_is() -> None:
    job = Job(CELL, (10, 11), 10)
    same = Job(dataclasses.replace(CELL, label="other", trials=100), (10, 11), 10)
    others = [
        Job(CELL, (10, 11, 12), 10),
        Job(CELL, (20,), 10),
        Job(CELL, (10, 11), 5),
        *(Job(dataclasses.replace(CELL, **{f"{kind}_digest": "new"}), (10, 11), 10) for kind in ("method", "problem")),
        Job(dataclasses.replace(CELL, seed=1), (10, 11), 10),
    ]
    assert same.name == job.name
    assert len({job.name, *(other.name for other in others)}) == 1 + len(others)


# ---- the built-in suites ---------------------------------------------------------------------------------------------

WITHOUT_TORCH = """\
import importlib.machinery, json, sys
from pathlib import Path

class Blocked:  # found, as polars asks whether torch is there, but not imported
    def find_spec(self, name, path=None, target=None):
        return importlib.machinery.ModuleSpec(name, self) if name.partition(".")[0] == "torch" else None

    def create_module(self, spec):
        raise ImportError(f"{spec.name} is blocked")

    def exec_module(self, module):
        pass

sys.meta_path.insert(0, Blocked())
from bench_core.plan import make_plan
from bench_core.plugins import PluginSources, load_plugins
from bench_core.suite import load_suite

root = Path(sys.argv[1])
plugins = load_plugins(PluginSources(checkout=root / "plugins"))
plans = {path.stem: make_plan(load_suite(path), plugins) for path in sorted((root / "suites").glob("*.yaml"))}
for plan in plans.values():
    for cell in plan.cells:
        cell.trial_id(0)
found = {name: sorted({(cell.label, cell.control) for cell in plan.cells}) for name, plan in plans.items()}
print(json.dumps([[str(failure) for failure in plugins.failures], found]))
"""


# The floor and the best of old, where there is a density to maximise.
FLOORS = {"linear_unmixing": {"vca", "random"}, "dirac": {"init"}}


def test_every_suite_is_planned_without_torch(repo: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TORCH, str(repo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    failures, suites = json.loads(done.stdout)
    assert failures == []
    assert set(suites) == {path.stem for path in (repo / "suites").iterdir()}
    for name, labels in suites.items():
        controls = {label for label, control in labels if control}
        assert "truth" in controls, name
        assert controls >= FLOORS.get(name, {"init", "mle_exact"}), name
        assert len(controls) < len(labels), name
