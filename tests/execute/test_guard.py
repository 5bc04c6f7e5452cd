"""Every batch finds the same process, and leaves no trace in it."""

from __future__ import annotations

import os
import random
import signal
import sys
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

from bench_core import Fit, Method
from bench_core.execute.batch import Setting, run_job
from bench_core.execute.executor import Finished, Inline
from bench_core.execute.guard import _switches, guarded, standard
from bench_core.plan import Job
from bench_core.plugins import PluginSources, load_plugins

CPU = Setting("cpu", None, None)


@pytest.fixture
def offered(plugins):
    """Return the plugins with a class in the place of ``truth``."""

    def offer(cls):
        return replace(plugins, methods=replace(plugins.methods, items={**plugins.methods.items, "truth": cls}))

    return offer


@pytest.fixture
def cell(plugins, make_cell):
    return make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "truth", {})


class Draws(Method):
    """Draws from the global generators, an odd number of normals included, and seeds them."""

    name = "truth"

    def fit(self, trials):
        noise = torch.randn(trials.width, 2) + np.random.standard_normal() + random.random()
        torch.manual_seed(0)
        np.random.seed(0)
        random.seed(0)
        return Fit(answer=trials["truth"] + noise)


def errors(rows):
    return {row["repeat"]: row["metric.error"] for row in rows}


def test_global_generators_follow_from_the_batch_alone(cell, offered):
    plugins = offered(Draws)
    whole = errors(run_job(Job(cell, tuple(range(10, 20)), 10), plugins, CPU))
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    alone = errors(run_job(Job(cell, (13,), 10), plugins, CPU))
    assert alone[13] == whole[13]
    assert len(set(whole.values())) == 10


def test_batches_cells_and_methods_draw_differently(plugins, make_cell):
    changes = ({}, {"seed": 1}, {"method": "other"}, {"data_params": {"d": 2, "m": 6}})
    drawn = []
    for change in changes:
        cell = replace(make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "truth", {}), **change)
        for first in (0, 10):
            with guarded(Job(cell, (first,), 10), "cpu"):
                drawn.append((float(torch.rand(())), float(np.random.rand()), random.random()))
    for numbers in zip(*drawn, strict=True):
        assert len(set(numbers)) == 2 * len(changes)


def test_the_callers_generators_are_as_before(cell, offered):
    np.random.standard_normal()  # one of a pair: the other one is kept for the next call, and part of the state
    before = torch.get_rng_state(), np.random.get_state(), random.getstate(), np.random.get_bit_generator()
    for event in Inline(offered(Draws), CPU, 60).run([Job(cell, (0, 1), 2)]):
        assert not isinstance(event, Finished) or len(event.rows) == 2
    assert torch.equal(torch.get_rng_state(), before[0])
    name, keys, *rest = np.random.get_state()
    assert (name, keys.tolist(), *rest) == (before[1][0], before[1][1].tolist(), *before[1][2:])
    assert random.getstate() == before[2]
    assert np.random.get_bit_generator() is before[3]


OTHERWISE = {
    "default dtype": lambda: torch.set_default_dtype(torch.float64),
    "threads": lambda: torch.set_num_threads(3),
    "gradients": lambda: torch.set_grad_enabled(False),
    "default device": lambda: torch.set_default_device("meta"),
    "anomaly": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "denormals": lambda: torch.set_flush_denormal(True),
    "attention": lambda: torch.backends.cuda.enable_flash_sdp(False),
    "autocast": lambda: torch.set_autocast_enabled("cpu", True),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "precision of one backend": lambda: setattr(torch.backends.cuda.matmul, "fp32_precision", "tf32"),
    "cudnn": lambda: setattr(torch.backends.cudnn, "benchmark", True),
    "numpy errors": lambda: np.seterr(all="raise"),
}


@pytest.mark.parametrize("change", OTHERWISE)
def test_settings_are_standard_in_a_batch_and_the_callers_after_it(change):
    switches = _switches()
    with standard():  # whatever this process has
        usual = [switch.read() for switch in switches]
        OTHERWISE[change]()
        callers = [switch.read() for switch in switches]
        assert callers != usual
        with standard():
            assert [switch.read() for switch in switches] == usual == [switch.standard for switch in switches]
            OTHERWISE["threads"]()
            OTHERWISE["default dtype"]()
        assert [switch.read() for switch in switches] == callers
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize(
    "leave",
    [
        lambda: torch.set_float32_matmul_precision("high"),
        lambda: setattr(torch.backends.cuda.matmul, "allow_tf32", True),
        OTHERWISE["precision of one backend"],
    ],
)
def test_torch_tells_the_precision_after_a_method_that_changed_it(leave):
    with standard():
        leave()
        with standard():
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cuda.matmul.allow_tf32 is False
    assert torch.get_float32_matmul_precision() == "highest"


def test_inference_mode_that_was_never_left_is_off_in_a_batch():
    mode = torch.inference_mode()
    mode.__enter__()
    try:
        with standard():
            assert not torch.is_inference_mode_enabled()
            x = torch.ones(2, requires_grad=True)
            x.sum().backward()
        assert torch.is_inference_mode_enabled()
    finally:
        mode.__exit__(None, None, None)


def test_folder_environment_and_handlers_are_put_back(tmp_path):
    folder, handler = os.getcwd(), signal.getsignal(signal.SIGINT)
    with standard():
        os.chdir(tmp_path)
        os.environ["LEFT_BEHIND"] = "1"
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert os.getcwd() == folder
    assert "LEFT_BEHIND" not in os.environ
    assert signal.getsignal(signal.SIGINT) == handler


def test_what_is_warned_of_is_as_before():
    before = list(warnings.filters), warnings.showwarning
    with standard():
        warnings.simplefilter("error", ImportWarning)
        warnings.showwarning = print
    assert (list(warnings.filters), warnings.showwarning) == before


def test_a_caller_with_another_kind_of_generator_keeps_it_and_batches_draw_the_same(cell):
    def drawn() -> float:
        with guarded(Job(cell, (0,), 1), "cpu"):
            return float(np.random.rand())

    usual, before = drawn(), np.random.get_bit_generator()
    kind = np.random.PCG64(1)
    try:
        np.random.set_bit_generator(kind)
        state = kind.state
        assert drawn() == usual
        assert np.random.get_bit_generator() is kind
        assert kind.state == state
    finally:
        np.random.set_bit_generator(before)


def test_a_caller_with_other_settings_gets_the_same_numbers(plugins, make_cell):
    cell = make_cell(plugins, "gaussian_mean", {"d": 2, "m": 5}, "mmd", {"iterations": 10})
    job = Job(cell, (0, 1), 2)
    usual = errors(run_job(job, plugins, CPU))
    with standard():
        for change in OTHERWISE.values():
            change()
        assert errors(run_job(job, plugins, CPU)) == usual


def test_what_is_printed_goes_to_standard_error(cell, capsys):
    with guarded(Job(cell, (0,), 1), "cpu"):
        print("hello")
    assert capsys.readouterr() == ("", "hello\n")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("ending", ["returns", "raises"])
def test_a_forked_copy_ends_with_its_batch(cell, tmp_path, ending):
    parent = os.getpid()
    child = 0
    try:
        with guarded(Job(cell, (0,), 1), "cpu"):
            child = os.fork()
            if ending == "raises":
                raise RuntimeError
    except RuntimeError:
        pass
    if os.getpid() != parent:
        os._exit(9)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_denormals_are_read_from_the_processor():
    assert sys.float_info.min * 0.5 > 0


@pytest.mark.parametrize("moment", ["import", "hook"])
def test_a_plugin_that_leaves_the_folder_while_it_loads_does_not_take_us_along(tmp_path, monkeypatch, moment):
    leave = "os.chdir('/')"
    (tmp_path / "leaves.py").write_text(
        f"import os\nfrom bench_core import hookimpl\n{leave if moment == 'import' else ''}\n"
        f"@hookimpl\ndef bench_register_methods():\n    {leave}\n    return []\n"
    )
    monkeypatch.chdir(tmp_path)
    assert load_plugins(PluginSources(folders=(tmp_path,))).failures == []
    assert os.getcwd() == str(tmp_path)
