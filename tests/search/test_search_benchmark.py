import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def loaded(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.data
@pytest.mark.slow
def test_searches_are_compared_on_real_curves(shared_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCHMARKS / "search.py"), "--quick", "--tasks", "develop", "--processes", "1"]
    command += ["--runs", str(tmp_path / "runs.jsonl"), "--plot", str(tmp_path / "regret.png")]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    runs = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert {run["suite"] for run in runs} == {"LCBench develop", "TaskSet"}
    for run in runs:
        assert np.diff(run["regret"]).max() <= 0, f"{run['method']}: regret rose"
        assert f"{run['method']} " in output
    assert (tmp_path / "regret.png").stat().st_size > 10_000


def test_the_ratio_of_epochs_is_where_mean_curves_first_come_as_low() -> None:
    table = loaded("search_table")
    fast, slow = np.array([[0.8, 0.2, 0.1, 0.1]]), np.array([[0.9, 0.8, 0.4, 0.2]])
    runs = {"fast": {"a": fast, "b": fast}, "slow": {"a": slow, "b": slow}}
    assert table.epochs_ratio(runs, "fast", "slow", 4) == (0.5, (0.5, 0.5))
    assert table.best_stock(runs, 4) == "fast"
    value, (low, high) = table.regret_difference(runs, "fast", "slow", 3)
    assert (round(value, 6), round(low, 6), round(high, 6)) == (-0.3, -0.3, -0.3)


def test_a_method_that_never_comes_as_low_counts_as_its_whole_budget() -> None:
    table = loaded("search_table")
    runs = {"bad": {"a": np.array([[1.0, 1.0, 1.0, 1.0]])}, "good": {"a": np.array([[0.5, 0.2, 0.2, 0.2]])}}
    assert table.epochs_ratio(runs, "bad", "good", 2)[0] == 2.0


def test_intervals_are_wider_where_tasks_differ_than_where_they_agree() -> None:
    table = loaded("search_table")
    rng = np.random.default_rng(0)
    noise = [rng.normal(0, 0.01, (5, 1)) for _ in range(8)]
    alike = table.resampled({"m": {str(task): 0.5 + noise[task] for task in range(8)}})["m"]
    apart = table.resampled({"m": {str(task): task / 8 + noise[task] for task in range(8)}})["m"]
    assert np.std(apart) > 5 * np.std(alike)


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ((), []),
        (("GP",), ["search_epochs_over_best_stock_final"]),
        (
            ("random", "TPE + median"),
            [
                "search_epochs_over_best_stock_final",
                "search_epochs_over_best_stock_pruner_final",
                "search_taskset_regret_less_random_10",
                "search_taskset_regret_less_random_20",
            ],
        ),
    ],
)
def test_figures_are_only_of_searches_that_were_chosen(
    chosen: tuple[str, ...], names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    search = loaded("search")
    runs = {name: {"a": np.full((2, 80), 0.5)} for name in (search.DEFAULT, *chosen)}
    assert [figure.name for figure in search.figures({"LCBench final": runs, "TaskSet": runs})] == names
