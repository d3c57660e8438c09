"""How many epochs searches need on real learning curves: Optuna's samplers and pruners, ASHA elsewhere, and ours.

LCBench's surrogate (17 tasks to develop on, 17 for the final check) and the TaskSet table (8 tasks, diverged runs
included) stand in for training; see :mod:`curve_tables`. A search may spend the epochs of 20 full trainings. What it
has after so many epochs is the best final value among its *finished* trainings, as normalised regret: 1 is the median
configuration (also the most that is counted, and what a search has before its first finished training), 0 the best of
the reference. One worker; an epoch of a configuration is paid for once, by every search alike.

Figures, with 95 % intervals of a bootstrap over tasks and, within them, seeds:

- epochs the default needs for the mean regret that the best of Optuna's searches has after 20 trainings, over that
  one's; the same for the best of those with a pruner;
- the default's regret less random search's after 10, 20 and 50 trainings of TaskSet.

Expected before measuring: ratio 0.6 (the quick trial in the data's README came to 0.7 with TPE on the lowest rung; it
knew nothing of the Gaussian process, which turned out to be the best of Optuna's); TaskSet -0.2.

Run: ``python benchmarks/search.py [--tasks develop|final|all] [--seeds N] [--processes N] [--runs FILE] [--plot FILE]``
One seed per task takes some ten minutes on two cores; ``--seeds 20 --trainings 50`` takes hours.
``--runs`` keeps every finished run and takes up what is there; ``--methods`` chooses; ``--quick`` takes under a minute.
Ray Tune and Syne Tune join where ``--ray PYTHON`` and ``--syne PYTHON`` name interpreters that have them.
"""

import argparse
import json
import multiprocessing
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # a run per core, each in one thread

import numpy as np
import optuna
from curve_tables import CURVES, Problem, lcbench_problem, lcbench_tasks, taskset_problem, taskset_tasks
from measured import Figure
from search_methods import DEFAULT, METHODS, Ledger, Spent
from search_peers import PEERS, peer
from search_table import Runs, best_stock, epochs_ratio, plot, regret_difference, table

PER_TRAINING = 4
"""Regret is kept after every quarter of a training."""
DEVELOP = 17


@dataclass(frozen=True)
class Job:
    """One search to run."""

    method: str
    suite: str
    task: str
    seed: int


@dataclass(frozen=True)
class Run(Job):
    """A search that ran: its regret after each quarter of a training."""

    regret: list[float]


def main(arguments: Sequence[str]) -> None:
    options = parsed(arguments)
    if not CURVES.is_dir():
        print(f"skipped: the learning curves are not beside the repository: no folder {CURVES}")
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    wanted = jobs(options)
    found = {job: run for job, run in kept(options.runs, options.trainings) if job in set(wanted)}
    to_do = [job for job in wanted if job not in found]
    for run in executed(to_do, options):
        found[Job(run.method, run.suite, run.task, run.seed)] = run
    report(list(found.values()), options)


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="How many epochs searches need on real learning curves.")
    parser.add_argument("--tasks", choices=["develop", "final", "all"], default="all")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--trainings", type=int, default=20, help="the budget, in full trainings")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *PEERS], default=None)
    parser.add_argument("--ray", help="a Python interpreter that has ray[tune]")
    parser.add_argument("--syne", help="a Python interpreter that has syne-tune")
    parser.add_argument("--runs", type=Path)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--quick", action="store_true", help="one task of each, one seed, five trainings")
    options = parser.parse_args(arguments)
    if options.quick:
        options.trainings, options.seeds = 5, 1
    return options


def jobs(options: argparse.Namespace) -> list[Job]:
    """Return the searches to run, seed by seed, so that what is done at any time is balanced."""
    peers = [name for name in PEERS if getattr(options, PEERS[name].option)]
    methods = options.methods or [*METHODS, *peers]
    halves = {"develop": lcbench_tasks()[:DEVELOP], "final": lcbench_tasks()[DEVELOP:]}
    suites = {f"LCBench {half}": tasks for half, tasks in halves.items() if options.tasks in (half, "all")}
    suites["TaskSet"] = taskset_tasks()
    if options.quick:
        suites = {name: tasks[:1] for name, tasks in suites.items()}
        methods = options.methods or ["random", "TPE + median", "random + successive halving", DEFAULT]
    return [
        Job(method, suite, task, seed)
        for seed in range(options.seeds)
        for suite, tasks in suites.items()
        for task in tasks
        for method in methods
    ]


def executed(to_do: Sequence[Job], options: argparse.Namespace) -> Iterator[Run]:
    """Run searches in several processes, and yield each as it is done."""
    interpreters = {name: getattr(options, one.option) for name, one in PEERS.items()}
    work = partial(searched, trainings=options.trainings, interpreters=interpreters)
    with multiprocessing.get_context("fork").Pool(options.processes) as pool:  # importing anew takes seconds
        for done, run in enumerate(pool.imap_unordered(work, to_do), 1):
            if options.runs is not None:
                with options.runs.open("a") as file:
                    file.write(line_of(run) + "\n")
            print(f"\r{done} of {len(to_do)} searches", end="", file=sys.stderr, flush=True)
            yield run
    print(file=sys.stderr)


def searched(job: Job, *, trainings: int, interpreters: dict[str, str]) -> Run:
    """Run one search and return its regret over the budget."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    problem = taskset_problem(job.task) if job.suite == "TaskSet" else lcbench_problem(job.task)
    ledger = Ledger(trainings * problem.total)
    search = peer(PEERS[job.method], interpreters[job.method]) if job.method in PEERS else METHODS[job.method]
    with suppress(Spent):
        search(problem, ledger, own_seed(job))
    return Run(**asdict(job), regret=regrets(problem, ledger, trainings))


def own_seed(job: Job) -> int:
    """Return a seed of the task's own: under a common one the first points are the same for all tasks, good or bad."""
    return zlib.crc32(f"{job.task} {job.seed}".encode())


def regrets(problem: Problem, ledger: Ledger, trainings: int) -> list[float]:
    """Return the regret after each quarter of a training."""
    spent = np.array([epochs for epochs, _ in ledger.history])
    values = np.array([1.0, *(min(1.0, problem.regret(value)) for _, value in ledger.history)])
    at = np.arange(1, trainings * PER_TRAINING + 1) * problem.total / PER_TRAINING
    return [round(value, 5) for value in values[np.searchsorted(spent, at, side="right")].tolist()]


def line_of(run: Run) -> str:
    """Return a run as a line of a file: instead of all quarters those in which the regret fell, and to what."""
    falls = [(quarter, now) for quarter, (before, now) in enumerate(pairwise([1.0, *run.regret])) if now != before]
    return json.dumps({**asdict(run), "regret": falls, "quarters": len(run.regret)})


def run_of(line: str) -> Run:
    """Return the run of a line."""
    found = json.loads(line)
    regret = [1.0] * found.pop("quarters")
    for quarter, value in found.pop("regret"):
        regret[quarter:] = [value] * (len(regret) - quarter)
    return Run(**found, regret=regret)


def kept(path: Path | None, trainings: int) -> Iterator[tuple[Job, Run]]:
    """Yield the runs of a file that went as far as is asked, cut there."""
    n_quarters = trainings * PER_TRAINING
    for line in path.read_text().splitlines() if path is not None and path.is_file() else []:
        run = run_of(line)
        if len(run.regret) >= n_quarters:
            yield Job(run.method, run.suite, run.task, run.seed), replace(run, regret=run.regret[:n_quarters])


def report(found: list[Run], options: argparse.Namespace) -> None:
    """Print the tables and the figures, and draw the picture."""
    runs = {
        suite: {
            method: {
                task: np.array([r.regret for r in found if (r.suite, r.method, r.task) == (suite, method, task)])
                for task in dict.fromkeys(r.task for r in found if (r.suite, r.method) == (suite, method))
            }
            for method in [*METHODS, *PEERS]
            if any((r.suite, r.method) == (suite, method) for r in found)
        }
        for suite in sorted({r.suite for r in found})
    }
    for suite, by_method in runs.items():
        print("\n".join(table(suite, by_method, PER_TRAINING)))
        print()
    if options.plot is not None:
        plot(runs, PER_TRAINING, DEFAULT, options.plot)
    if not options.quick:
        for figure in figures(runs):
            print(figure.line())


def figures(runs: dict[str, Runs]) -> Iterator[Figure]:
    """Yield what the targets are about; a target holds by the estimate, the tables show its interval.

    There is none of what the chosen searches do not say.
    """
    for suite, by_method in runs.items():
        stock = [name for name in METHODS if name != DEFAULT and name in by_method]
        length = min(curves.shape[1] for by_task in by_method.values() for curves in by_task.values())
        if DEFAULT not in by_method or length < 20 * PER_TRAINING:
            continue
        if suite == "TaskSet":
            budgets = (10, 20, 50) if "random" in stock else ()
            for trainings in (budget for budget in budgets if budget * PER_TRAINING <= length):
                value, (low, high) = regret_difference(by_method, DEFAULT, "random", trainings * PER_TRAINING)
                print(f"{suite}: default less random after {trainings}: {value:.3f} ({low:.3f} to {high:.3f})")
                yield Figure(f"search_taskset_regret_less_random_{trainings}", value, 0.0, "regret", low <= 0.0)
        else:
            half = suite.split()[1]
            for kind, names in (("stock", stock), ("stock_pruner", [name for name in stock if " + " in name])):
                if not names:
                    continue
                pair = best_stock({name: by_method[name] for name in names}, 20 * PER_TRAINING)
                value, (low, high) = epochs_ratio(by_method, DEFAULT, pair, 20 * PER_TRAINING)
                print(f"{suite}: epochs over those of {pair}, the best {kind}: {value:.2f} ({low:.2f} to {high:.2f})")
                yield Figure(f"search_epochs_over_best_{kind}_{half}", value, 0.7, "ratio", value <= 0.7)


if __name__ == "__main__":
    main(sys.argv[1:])
