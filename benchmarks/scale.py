"""What a trial costs the platform in a study of 100, 1,000 and 10,000 trials, with up to 64 workers, and to look at.

Overhead: the coordinator asks, hands over, judges four epochs and tells, and the worker's side writes a run with its
parameters, metrics and end to MLflow; all that a trial costs but training: the workers answer at once. Each size is a
study of its own, filled with finished trials and as many MLflow runs; a few trials of each are run in turn, so that a
machine that slows down slows all of them. The median time from one trial's end to the next is taken. The sampler draws
at random: what a model of 10,000 trials costs is the sampler's. The database statements of a trial are counted at the
driver, by what they are for.

Efficiency: workers that sleep 5 s per trial, 12 trials each; the seconds slept over the seconds from when they were
connected to MLflow until that knew all, the time to hand out the first trials and to await the last ones included. The
largest number is also run with workers that tell MLflow nothing, as that costs processor time which workers elsewhere
do not share. On a virtual machine a column says what share of the processors' time went to its neighbours.

Views: ``ls``, ``show`` and ``report`` of the largest study, each in a process of its own, its start included.

Metrics of epochs that end within five seconds are told to MLflow together: some trials with longer ones show what each
time takes.

All of it on the embedded storage, and on a PostgreSQL server that is started for it and has MLflow's databases, too.
``scaling_page.py`` makes docs/scaling.md of what is printed.

Expected: 50 ms per trial at 100, 55 at 10,000; with 64 workers 13 trials end per second, 30 ms of the coordinator each,
so 0.95; 1.3 s for ls and show, of which 0.5 are to read 170,000 rows, 4 s for report, half of them imports.

Run: ``python benchmarks/scale.py [--kinds NAME ...] [--sizes N N N] [--workers N N N] [--parts NAME ...]``
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import optuna
import psutil
from scale_databases import Databases, embedded, postgresql, served_per_second
from scale_runs import Filled, Ran, filled
from scale_study import EPOCHS, FOLDS

from hms_search.host_memory import collect_rarely
from hms_search.provenance import git_commit
from hms_search.search.places import Places

COUNTED = 40
"""Trials that are run at each size, ten at a time."""
TRIAL_S, TRIALS_PER_WORKER = 5.0, 12
EPOCHS_OF_A_TRIAL = FOLDS * EPOCHS
SLOW_S = 6.0 * EPOCHS_OF_A_TRIAL
"""Of trials whose epochs are so long that MLflow is told of each by itself."""
RATIO_TARGET, EFFICIENCY_TARGET, VIEW_TARGET_S = 1.5, 0.95, 5.0


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="What large studies and many workers cost the platform.")
    parser.add_argument("--kinds", nargs="+", choices=list(KINDS), default=list(KINDS))
    parser.add_argument("--sizes", type=int, nargs="+", default=[100, 1_000, 10_000])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8, 16, 32, 64])
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args(arguments)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    collect_rarely()  # as the command's own process does, whose part this one plays
    figures, load = [], os.getloadavg()[0]
    for kind in options.kinds:
        print(
            f"\n{kind} storage, {os.cpu_count()} cores, commit {git_commit()[:7]}, {load:.1f} processes running before"
        )
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            databases = stack.enter_context(KINDS[kind](folder))
            figures += [figure for name in options.parts for figure in PARTS[name](databases, kind, options)]
    print()
    for figure in figures:  # first those that only inform
        if "target" not in figure:
            print(f"{figure['name']} = {figure['value']} {figure['unit']}".rstrip())
    print("\n".join(json.dumps(figure) for figure in figures if "target" in figure))


def overhead(databases: Databases, kind: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Run some trials in studies of each size and return the ratios and statements of a trial."""
    studies = {size: filled(databases(f"scale{size}"), size) for size in options.sizes}
    found: dict[int, list[Ran]] = {size: [] for size in studies}
    for _ in range(COUNTED // 10):
        for size, study in studies.items():
            found[size].append(study.run(10))
    print(f"{'trials':>8}  {'per trial (ms)':>14}  {'taken up in (s)':>15}   statements: ask, judge an epoch, tell")
    costs, statements = {}, {}
    for size, parts in found.items():
        costs[size] = 1000 * median(seconds for one in parts for seconds in one.seconds)
        statements[size] = _per_trial(parts)
        again = median(one.recovered_s for one in parts)
        counted = "  ".join(f"{statements[size][name]:5.1f}" for name in ("ask", "judge", "tell"))
        print(f"{size:>8}  {costs[size]:>14.1f}  {again:>15.2f}   {counted}", flush=True)
    first, last = options.sizes[0], options.sizes[-1]
    whole = filled(databases("whole"), 0, pruner="none")
    together, apart = (whole.run(4, workers=4, trial_s=seconds).tracking_statements for seconds in (0.0, SLOW_S))
    to_send = (apart - together) / (EPOCHS_OF_A_TRIAL - 1)
    return [
        figure(f"trial_cost_at_{last}_over_{first}_{kind}", costs[last] / costs[first], "ratio", most=RATIO_TARGET),
        figure(f"coordinator_ms_per_trial_{kind}", 1000 * median(one.busy_s for one in found[last]), "ms"),
        figure(f"ms_to_ask_{kind}", 1000 * median(ask for one in found[last] for ask in one.ask_s), "ms"),
        *(figure(f"statements_per_second_{kind}", rate, "") for rate in served_per_second(studies[last].places)),
        *(figure(f"statements_to_{name}_{kind}", count, "") for name, count in statements[last].items()),
        figure(f"statements_of_tracking_per_trial_{kind}", together - to_send, ""),
        figure(f"statements_to_send_metrics_{kind}", to_send, ""),
    ]


def efficiency(databases: Databases, kind: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Run sleeping trials on more and more workers and return the worst efficiency."""
    print(f"{'workers':>8}  {'trials':>6}  {'efficiency':>10}  {'stolen':>6}   sleeping {TRIAL_S:.0f} s each")
    found = {}
    for workers in options.workers:
        stolen, began = _stolen_s(), time.monotonic()
        found[workers] = _efficiency(databases(f"workers{workers}"), workers)
        share = (_stolen_s() - stolen) / (time.monotonic() - began) / (os.cpu_count() or 1)
        row = f"{workers:>8}  {workers * TRIALS_PER_WORKER:>6}  {found[workers]:>10.3f}  {share:>6.1%}"
        print(row, flush=True)
    most = max(found)
    elsewhere = _efficiency(databases("elsewhere"), most, tracked=False)
    return [
        figure(f"efficiency_of_{most}_workers_tracking_elsewhere_{kind}", elsewhere, "ratio"),
        figure(f"efficiency_of_{most}_workers_{kind}", found[most], "ratio", least=EFFICIENCY_TARGET),
        figure(f"efficiency_worst_{kind}", min(found.values()), "ratio", least=EFFICIENCY_TARGET),
    ]


def _stolen_s() -> float:
    """Return the processor time that others have taken of a virtual machine, where the system tells."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def _efficiency(places: Places, workers: int, *, tracked: bool = True) -> float:
    study = filled(places, 0, pruner="none")
    ran = study.run(workers * TRIALS_PER_WORKER, workers=workers, trial_s=TRIAL_S, tracked=tracked)
    return TRIALS_PER_WORKER * TRIAL_S / ran.wall_s


def views(databases: Databases, kind: str, options: argparse.Namespace) -> list[dict[str, object]]:
    """Return how long each look at the largest study takes; the best of three."""
    size = options.sizes[-1]
    study: Filled = filled(databases(f"scale{size}"), size)
    given = [] if study.places.storage_url is None else ["--storage", str(study.places.storage_url)]
    tracked = [] if study.places.tracking is None else ["--tracking-uri", str(study.places.tracking)]
    found = []
    for command in (["ls", *given], ["show", "scale", *given], ["report", "scale", *given, *tracked]):
        seconds = min(_seconds(command, study.places.root.parent) for _ in range(3))
        print(f"{command[0]} of {size:,} trials: {seconds:.2f} s", flush=True)
        found.append(figure(f"seconds_of_{command[0]}_at_{size}_{kind}", seconds, "s", most=VIEW_TARGET_S))
    return found


KINDS = {"embedded": embedded, "postgresql": postgresql}
Part = Callable[[Databases, str, argparse.Namespace], list[dict[str, object]]]
PARTS: dict[str, Part] = {"overhead": overhead, "efficiency": efficiency, "views": views}


def figure(
    name: str, value: float, unit: str, *, most: float | None = None, least: float | None = None
) -> dict[str, object]:
    """Return a measured number and, if it has a target, that and whether it holds."""
    found: dict[str, object] = {"name": name, "value": round(value, 3), "unit": unit}
    if most is not None:
        return {**found, "target": most, "holds": value <= most}
    if least is not None:
        return {**found, "target": least, "holds": value >= least}
    return found


def _per_trial(parts: Sequence[Ran]) -> dict[str, float]:
    """Return the statements to ask for a trial, to judge an epoch, and to tell its end."""
    count: Counter[str] = sum((one.statements for one in parts), Counter())
    times: Counter[str] = sum((one.events for one in parts), Counter())
    return {name: count[name] / times[name] for name in ("ask", "judge", "tell")}


def _seconds(command: Sequence[str], folder: Path) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "hms_search", *command], cwd=folder, check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main(sys.argv[1:])
