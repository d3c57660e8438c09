"""Workers are forked from a process that has imported everything: quick to start, and none the worse for it."""

import os
import subprocess
import sys
from pathlib import Path

PROGRAM = """
import multiprocessing
import torch
from hms_search.search import workers


def use_threads(answers):
    torch.set_num_threads(2)
    answers.send(float(torch.ones(4_000_000).to(torch.float64).sum()))


if __name__ == "__main__":
    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    context.Process(target=use_threads, args=(there,), daemon=True).start()
    print(here.recv() if here.poll(30) else "no answer")
"""


def test_a_forked_worker_uses_several_threads(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, str(program)], env=environment, capture_output=True, text=True, check=False)
    assert done.stdout == "4000000.0\n", done.stderr
