"""Run every benchmark and write ``docs/benchmarks.md``: the machine, each benchmark's table, and its figures.

Run: ``python benchmarks/run.py [NAME ...]``; without names, all of them. Exits with 1 where a figure does not hold.
"""

import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from hms_search.provenance import git_commit, versions

HERE = Path(__file__).parent
REPORT = HERE.parent / "docs" / "benchmarks.md"
BENCHMARKS = (
    "trial_overhead",
    "prepare",
    "synthetic",
    "spectrogram",
    "input_pipeline",
    "models",
    "waiting",
    "serving",
    "racing",
    "search",
    "scale",
)


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(BENCHMARKS))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
        return 2
    sections, figures = [], []
    for name in names or BENCHMARKS:
        print(f"--- {name}", flush=True)
        output = run(HERE / f"{name}.py")
        lines = output.splitlines()
        figures += [json.loads(line) for line in lines if line.startswith("{")]
        table = "\n".join(line for line in lines if not line.startswith("{"))
        sections.append(f"## {name}\n\n```\n{table.rstrip()}\n```\n")
    if not names:
        REPORT.write_text(report(figures, sections))
        print(f"written: {REPORT}")
    return 0 if all(figure["holds"] for figure in figures) else 1


def run(script: Path) -> str:
    """Run a benchmark, show what it prints as it comes, and return it; a failure ends the whole run."""
    lines = []
    with subprocess.Popen([sys.executable, "-u", str(script)], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        raise SystemExit(f"{script.name} ended with exit code {process.returncode}")
    return "".join(lines)


def report(figures: list[dict[str, object]], sections: list[str]) -> str:
    rows = [
        f"| {figure['name']} | {figure['value']} | {figure['target']} | {figure['unit']} | "
        f"{'yes' if figure['holds'] else '**no**'} |"
        for figure in figures
    ]
    found = versions()
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {found['python']}, torch {found['torch']}"
    head = [
        "# Benchmarks",
        "",
        f"Written by `python benchmarks/run.py`, {datetime.now(UTC):%Y-%m-%d}, commit {git_commit()[:12]}: {machine}.",
        "Ratios are against the named reference in the same run; absolute times are this machine's.",
        "",
        "| figure | value | target | unit | holds |",
        "|---|---|---|---|---|",
        *rows,
        "",
    ]
    return "\n".join([*head, *sections])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
