"""Schedulers of other libraries, run by interpreters of their own that ask for values over a pipe.

A peer's script reads one line, ``{"space": ..., "total": ..., "seed": ...}``, and then writes a line for every epoch it
wants trained, ``{"params": ..., "step": ...}``, and reads its value (``null``: diverged). Their own code decides who is
started, stopped, paused and resumed; one worker, so the time is the epochs.
"""

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from curve_tables import Problem
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from search_methods import Ledger, Search


@dataclass(frozen=True)
class Peer:
    """A script beside this one, and the option that names its interpreter."""

    script: str
    option: str


PEERS = {"ASHA of Ray Tune": Peer("search_ray.py", "ray"), "ASHA of Syne Tune": Peer("search_syne.py", "syne")}


def peer(one: Peer, interpreter: str) -> Search:
    """Return a search by a peer's script."""

    def search(problem: Problem, ledger: Ledger, seed: int) -> None:
        command = [interpreter, str(Path(__file__).with_name(one.script))]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            send = _sender(process.stdin)
            send({"space": {n: _described(d) for n, d in problem.space.items()}, "total": problem.total, "seed": seed})
            params: dict[str, float] = {}
            try:
                for line in process.stdout:
                    asked = json.loads(line)
                    if asked["params"] != params:
                        params = asked["params"]
                        key, curve = problem.curve(params)
                    value = ledger.buy(key, curve, asked["step"])
                    send(None if np.isnan(value) else value)
            finally:
                process.kill()

    return search


def _sender(stream: Any) -> Callable[[object], None]:
    def send(message: object) -> None:
        stream.write(json.dumps(message) + "\n")
        stream.flush()

    return send


def _described(one: BaseDistribution) -> dict[str, object]:
    assert isinstance(one, FloatDistribution | IntDistribution)
    return {"low": one.low, "high": one.high, "log": one.log, "integer": isinstance(one, IntDistribution)}
