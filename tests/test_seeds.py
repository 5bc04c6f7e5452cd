from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench_core.plan import Cell
from bench_core.plugins import Plugins
from bench_core.seeds import Streams, canonical, short_id, stable_hash

PATH = (0, "main", "gaussian_mean", {"d": 2, "m": 50}, 3)
CPU = torch.device("cpu")

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)


def typed(value: Any) -> Any:
    """Return something that is equal for equal values of equal types only."""
    if isinstance(value, dict):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    return type(value).__name__, repr(value)


# ---- canonical text --------------------------------------------------------------------------------------------------


def test_values_of_different_types_differ() -> None:
    assert [canonical(value) for value in (1, 1.0, True, "1", None)] == ["1", "1.0", "true", '"1"', "null"]


@given(VALUES, VALUES)
def test_texts_are_equal_exactly_where_values_and_types_are(a: Any, b: Any) -> None:
    assert (canonical(a) == canonical(b)) == (typed(a) == typed(b))


@given(VALUES)
def test_the_text_gives_the_value_back(value: Any) -> None:
    assert typed(json.loads(canonical(value))) == typed(value)


@given(st.dictionaries(st.text(), SCALARS, min_size=2, max_size=6), st.randoms())
def test_the_order_of_keys_is_irrelevant(mapping: dict[str, Any], rng: Any) -> None:
    shuffled = list(mapping.items())
    rng.shuffle(shuffled)
    assert canonical({"outer": dict(shuffled)}) == canonical({"outer": mapping})


@pytest.mark.parametrize("value", [math.nan, math.inf, [1.0, -math.inf]])
def test_numbers_that_json_lacks_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical(value)


# ---- golden values: a change here changes the numbers of every stored trial ------------------------------------------


def test_the_hash_is_the_known_one() -> None:
    assert short_id("bench") == "ee57884a4405e3ef"
    assert stable_hash("bench", bits=64) == 0xEE57884A4405E3EF


def test_the_data_stream_of_a_path_is_the_known_one() -> None:
    stream = Streams(*PATH).numpy("data")
    assert stream.bit_generator.state["bit_generator"] == "Philox"
    assert stream.integers(2**63, size=2).tolist() == [1750142780042005433, 1777389256053645912]
    normals = Streams(*PATH).numpy("data").standard_normal(3)
    np.testing.assert_allclose(normals, [-0.7465516368654262, 1.0261676079269495, 1.1269780580312314], rtol=1e-12)


def test_the_noise_stream_of_a_path_is_the_known_one() -> None:
    generator = Streams(*PATH).torch("fakes", CPU)
    assert generator.initial_seed() == 2683133268
    normals = torch.randn(2, generator=generator, dtype=torch.float64)
    assert normals.tolist() == pytest.approx([-1.1558, -0.0142], abs=1e-4)


@pytest.mark.parametrize("hash_seed", ["0", "1"])
def test_another_process_has_the_same_stream(hash_seed: str) -> None:
    code = f"from bench_core.seeds import Streams; print(Streams(*{PATH!r}).numpy('data').integers(2**63))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert int(done.stdout) == 1750142780042005433


# ---- independence ----------------------------------------------------------------------------------------------------


def test_streams_of_different_paths_and_purposes_differ() -> None:
    seed, split, problem, params, repeat = PATH
    paths: list[tuple[Any, ...]] = [
        PATH,
        (1, split, problem, params, repeat),
        (seed, "select", problem, params, repeat),
        (seed, split, "gaussian_cov", params, repeat),
        (seed, split, problem, {**params, "m": 51}, repeat),
        (seed, split, problem, params, repeat + 1),
        (*PATH, "mmd"),
    ]
    draws = [Streams(*path).numpy(purpose).standard_normal(4) for path in paths for purpose in ("data", "start")]
    noises = [torch.randn(4, generator=Streams(*path).torch(purpose, CPU)) for path in paths for purpose in ("a", "b")]
    assert all(not np.array_equal(a, b) for a, b in combinations(draws, 2))
    assert all(not torch.equal(a, b) for a, b in combinations(noises, 2))


def test_streams_of_neighbouring_repeats_are_uncorrelated() -> None:
    draws = np.stack([Streams(*PATH[:-1], repeat).numpy("data").standard_normal(400) for repeat in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert abs(correlations).max() < 4.5 / math.sqrt(400)  # 190 pairs: P(any above) < 0.2 %, and the seeds are fixed
    assert abs(draws.mean()) < 4 / math.sqrt(draws.size)


def test_a_stream_starts_anew_each_time_it_is_asked_for() -> None:
    streams = Streams(*PATH)
    assert streams.numpy("data").standard_normal() == streams.numpy("data").standard_normal()


# ---- what the streams of a trial depend on ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cell(plugins: Plugins, make_cell: Callable[..., Cell]) -> Callable[..., Cell]:
    def make(problem: dict[str, Any] | None = None, method: str = "mmd", **params: Any) -> Cell:
        return make_cell(plugins, "gaussian_mean", {"d": 2, "m": 50, **(problem or {})}, method, params)

    return make


def test_data_do_not_depend_on_scoring_or_method(cell: Callable[..., Cell]) -> None:
    reference = cell().data_path(3)
    assert cell({"threshold": 0.7}).data_path(3) == reference
    assert cell(lr=0.7).data_path(3) == reference
    assert cell(method="wgan").data_path(3) == reference


def test_data_depend_on_every_data_parameter_and_the_repeat(cell: Callable[..., Cell]) -> None:
    paths = [cell().data_path(3), cell({"m": 51}).data_path(3), cell({"d": 3}).data_path(3), cell().data_path(4)]
    assert len({canonical(path) for path in paths}) == 4


def test_noise_depends_on_the_method_and_its_parameters_but_not_on_scoring(cell: Callable[..., Cell]) -> None:
    reference = cell().noise_path(3)
    assert cell({"threshold": 0.7}).noise_path(3) == reference
    paths = [reference, cell(lr=0.7).noise_path(3), cell(method="osmmd").noise_path(3), cell().noise_path(4)]
    assert len({canonical(path) for path in paths}) == 4
