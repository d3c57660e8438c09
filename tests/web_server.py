"""``hms-search serve`` as a real process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil


@contextmanager
def serving(folder: Path, model: Path, *arguments: str) -> Iterator[tuple[str, psutil.Process]]:
    """Serve a model until the context ends; yields its address and the process; nothing it says may be an error.

    ``folder`` is all that it may write temporary files to, and must be left as it was.
    """
    before = sorted(folder.iterdir())
    process = subprocess.Popen(
        [sys.executable, "-m", "hms_search", "serve", str(model), "--port", "0", "--device", "cpu", *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    printed = ""
    while "Ctrl-C" not in printed:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    try:
        yield next(word for word in printed.split() if word.startswith("http://")), psutil.Process(process.pid)
    finally:
        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0, rest
    assert rest == ""
    assert sorted(folder.iterdir()) == before, "uploads outlive the app"
