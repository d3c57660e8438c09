"""A real Slurm cluster of this machine alone, from Debian's packages, run by whoever runs the tests."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from lacking import lacking

from hms_search.servers import free_port

# A job that is queued again waits until its credential has expired, which takes two minutes by itself.
_CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
SlurmdPort={node}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2
JobRequeue=1
NodeName={host} CPUs={cpus} State=UNKNOWN
PartitionName=tests Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[dict[str, str]]:
    """Start the cluster's three services in a folder; give the environment in which its commands reach it."""
    programs = {name: slurm_program(name) for name in ("munged", "slurmctld", "slurmd", "sinfo")}
    folder.chmod(0o755)  # munge trusts no folder that others may write to
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(os.urandom(1024))
    configuration = folder / "slurm.conf"
    user = subprocess.run(["id", "-un"], check=True, capture_output=True, text=True).stdout.strip()
    settings = {"host": socket.gethostname().split(".")[0], "user": user, "cpus": os.cpu_count(), "folder": folder}
    ports = {name: free_port("127.0.0.1", 0, f"Slurm's {name}") for name in ("controller", "node")}
    configuration.write_text(_CONFIGURATION.format(**settings, **ports))
    environment = {"SLURM_CONF": str(configuration)}
    own = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    munge = [programs["munged"], "--foreground", *(f"--{name}={folder}/munge.{end}" for name, end in own.items())]
    services = []
    try:
        for command in (munge, [programs["slurmctld"], "-D"], [programs["slurmd"], "-D"]):
            with (folder / f"{Path(command[0]).name}.txt").open("wb") as output:
                services.append(
                    subprocess.Popen(
                        command, stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **environment}, cwd="/"
                    )
                )
            time.sleep(0.5)
        _wait_for_node(programs["sinfo"], environment, folder)
        yield environment
    finally:
        for service in reversed(services):
            service.terminate()
        for service in services:
            service.wait(timeout=30)


def slurm_program(name: str) -> str:
    """Return the path of a program; skipped where it is missing, but never in CI."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        lacking(f"{name} is missing: the package slurm-wlm")
    return found


def _wait_for_node(sinfo: str, environment: dict[str, str], folder: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        asked = subprocess.run(
            [sinfo, "-h", "-o", "%T"], capture_output=True, text=True, env={**os.environ, **environment}, check=False
        )
        if asked.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    said = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.txt"))
    pytest.fail(f"the Slurm node did not come up: {asked.stdout} {asked.stderr}\n{said}")
