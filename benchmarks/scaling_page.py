"""Write ``docs/scaling.md``: what a thousand workers would ask of the databases, from what ``scale.py`` measured.

Run: ``python benchmarks/scale.py | tee scale.txt && python benchmarks/scaling_page.py scale.txt``
"""

import json
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from textwrap import fill

from hms_search.provenance import versions

PAGE = Path(__file__).parents[1] / "docs" / "scaling.md"
WORKERS = 1_000
EPOCHS = 10
"""Epochs of a trial, of all folds, in the extrapolation."""
TOGETHER_S = 5.0
"""Metrics are told to MLflow no more often."""
MINUTES = (5 / 60, 1, 10, 60)
"""How long a trial trains: that of the benchmark, and what networks on a GPU take."""
USE = 0.7
"""The share of a processor that is planned with: beyond, waiting times grow fast."""


def main(arguments: list[str]) -> None:
    output = Path(arguments[0]).read_text()
    PAGE.write_text(page(figures_of(output), output))
    print(f"written: {PAGE}")


def figures_of(output: str) -> dict[str, float]:
    """Return every figure in the benchmark's output."""
    told = {
        one["name"]: float(one["value"])
        for line in output.splitlines()
        if line.startswith("{")
        for one in [json.loads(line)]
    }
    informing = re.findall(r"^(\w+) = ([\d.]+)", output, flags=re.MULTILINE)
    return told | {name: float(value) for name, value in informing}


def page(found: Mapping[str, float], output: str) -> str:
    """Return the page."""
    ask, judge, tell = (found[f"statements_to_{name}_postgresql"] for name in ("ask", "judge", "tell"))
    tracking = found["statements_of_tracking_per_trial_postgresql"]
    sending = found["statements_to_send_metrics_postgresql"]
    busy, asking = found["coordinator_ms_per_trial_postgresql"], found["ms_to_ask_postgresql"]
    served = found["statements_per_second_postgresql"]
    per_trial = ask + EPOCHS * judge + tell
    tracked = tracking + EPOCHS * sending
    rows = [
        row(minutes, per_trial, tracking + sending * times_sent(minutes), busy, asking, served) for minutes in MINUTES
    ]
    one = USE * 60 * 1000 / busy
    return TEMPLATE.format(
        date=f"{datetime.now(UTC):%Y-%m-%d}", python=versions()["python"],
        conditions="; ".join(re.findall(r"^\w+ storage, .*$", output, flags=re.MULTILINE)),
        loaded=LOADED if is_loaded(output) else "", ask=ask, judge=judge, tell=tell, tracking=tracking,
        sending=sending, busy=busy, asking=asking, served=served, epochs=EPOCHS, per_trial=per_trial,
        tracked=tracked, workers=WORKERS,
        rows="\n".join(rows), one=one, use=USE, serial=1000 * USE / asking, output=output.strip(),
        parallel=efficiency(found), first=first_to_break(per_trial, tracked, busy, asking, served),
    )  # fmt: skip


def efficiency(found: Mapping[str, float]) -> str:
    """Return what the largest number of workers reached, with and without their share of MLflow."""
    name = next(name for name in found if re.fullmatch(r"efficiency_of_\d+_workers_postgresql", name))
    workers = re.findall(r"\d+", name)[0]
    elsewhere = found[f"efficiency_of_{workers}_workers_tracking_elsewhere_postgresql"]
    return fill(
        f"{workers} workers on the benchmark's two cores slept {found[name]:.1%} of the time that they were there; "
        f"{elsewhere:.1%} where they told MLflow nothing, which takes processor time of workers: elsewhere they have "
        "processors of their own.",
        118,
    )


def times_sent(minutes: float) -> float:
    """Return how often MLflow is told metrics of a trial."""
    return max(1.0, min(EPOCHS, 60 * minutes / TOGETHER_S))


def row(minutes: float, per_trial: float, tracked: float, busy: float, asking: float, served: float) -> str:
    """Return what a thousand workers ask for where a trial takes so long."""
    rate = WORKERS / (60 * minutes)
    name = f"{60 * minutes:.0f} s" if minutes < 1 else f"{minutes:.0f} min"
    load = rate * (per_trial + tracked)
    cells = (f"{rate:,.1f}", f"{load:,.0f}", f"{load / served:.0%}", f"{rate * busy / 1000 / USE:,.1f}")
    return f"| {name} | {' | '.join(cells)} | {rate * asking / 1000:.0%} |"


def first_to_break(per_trial: float, tracked: float, busy: float, asking: float, served: float) -> str:
    """Return what limits the rate of trials first, with that rate, and what next."""
    limits = {
        "one coordinator, which is one Python process": 1000 * USE / busy,
        "asking, which one coordinator at a time does": 1000 * USE / asking,
        "the database server": USE * served / (per_trial + tracked),
    }
    order = sorted(limits, key=lambda name: limits[name])
    told = [f"{name} ({limits[name]:,.0f} trials per second)" for name in order]
    said = (
        f"First {told[0]}, then {told[1]}, last {told[2]}; beyond {USE:.0%} of each, waiting grows fast. Where a share "
    )
    return fill(f"{said}above is over 100 % it does not work:", 118)


def is_loaded(output: str) -> bool:
    """Say whether the machine had other work in the minute before the benchmark began."""
    return any(float(load) > 0.5 for load in re.findall(r"([\d.]+) processes running", output))


LOADED = """
**In the minute before it began the machine had other work, as the conditions say: times may be too long, rates too low.
Counts of statements do not depend on it.**
"""

TEMPLATE = """# How far it scales

Written by `python benchmarks/scaling_page.py`, {date}, Python {python}, from the output of `benchmarks/scale.py` at the
end of this page. Conditions: {conditions}.
{loaded}
A study's workers never open its storage: a **coordinator** asks, judges and tells for all of its workers, and several
coordinators share a study on PostgreSQL. What grows with the number of workers is the rate at which trials end.

## Measured, on PostgreSQL

| per trial | |
|---|---|
| database statements to ask for it, a = | {ask:.1f} |
| to judge one epoch, j = | {judge:.1f} |
| to tell its end, t = | {tell:.1f} |
| to MLflow's database, as a trial begins and ends, m = | {tracking:.1f} |
| to send MLflow the metrics of an epoch, or of all within 5 s, s = | {sending:.1f} |
| processor time of its coordinator, c = | {busy:.1f} ms |
| time from one trial's end until the next is handed out, q = | {asking:.1f} ms |
| statements per second that the server takes from eight clients | {served:,.0f} |

None of the counts depends on how many trials the study has: the benchmark compares 100 with 10,000.

{parallel}

## {workers:,} workers

W workers whose trials take T seconds end r = W / T trials per second. With e epochs per trial the study's database gets
r (a + e j + t) statements per second, MLflow's r (m + e s) or fewer where epochs are short, the coordinators are busy
r c seconds per second, and because one at a time asks, no more than 1 / q trials begin per second.

For {workers:,} workers and {epochs} epochs per trial ({per_trial:.0f} statements to the study's database,
up to {tracked:.0f} to MLflow's), with coordinators that are at most {use:.0%} busy:

| a trial takes | trials per second | statements per second | of what is served | coordinators | of the time asking |
|---|---:|---:|---:|---:|---:|
{rows}

One coordinator keeps up with {one:,.0f} workers per minute that a trial takes: `--workers` on its own machine, or one
coordinator on each of several machines with `hms-search worker STUDY`.

## What breaks first

{first}

- **Coordinators**: start more of them. Each also reads what the others' trials reached, which is not counted above.
- **Asking** is exclusive, since two coordinators must not take the last trial of the budget: at most {serial:.0f}
  trials per second begin, however many coordinators there are. Longer trials are the remedy, or several studies.
- **The server**: these are rates of two cores that the coordinators share with it. A server of its own has more; put
  MLflow's database on another one first, it takes the larger or an equal part.
- **Connections**: where workers write to MLflow's database themselves, each holds one or more, and PostgreSQL allows
  100 unless told otherwise. With more workers put an MLflow server between them, or a pooler.
- **The sampler** is not in these figures: one that fits a model of all trials takes longer the more there are.

## The benchmark's output

```
{output}
```
"""

if __name__ == "__main__":
    main(sys.argv[1:])
