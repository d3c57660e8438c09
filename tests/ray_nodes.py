"""A Ray cluster of several nodes on this machine, one of which does not see a folder."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from killing import kill_family
from ray.cluster_utils import Cluster
from small_disk import on_disk_of_its_own

_MEMORY = 80 * 2**20  # 75 MiB is the least
_QUICK = {
    "health_check_period_ms": 300,
    "health_check_timeout_ms": 300,
    "health_check_failure_threshold": 3,
    "health_check_initial_delay_ms": 0,
}
"""A lost node is noticed after a second instead of a quarter of a minute."""


@contextmanager
def cluster_of(*cpus: int) -> Iterator[tuple[Cluster, list[Any]]]:
    """Run a cluster whose head trains nothing, with a node of so many CPUs each."""
    head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": _MEMORY, "_system_config": _QUICK}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    try:
        yield cluster, [cluster.add_node(num_cpus=count, object_store_memory=_MEMORY, wait=False) for count in cpus]
    finally:
        cluster.shutdown()


def lose(cluster: Cluster, node: Any) -> None:
    """Kill all processes of a node at once; where its raylet alone is killed, workers train on for most of a second."""
    (raylet,) = node.all_processes["raylet"]
    kill_family(raylet.process.pid)
    cluster.remove_node(node, allow_graceful=False)


@contextmanager
def node_without(folder: Path, cluster: Cluster, cpus: int) -> Iterator[None]:
    """Add a node for which a folder is empty."""
    options = ("--address", cluster.address, "--num-cpus", str(cpus), "--object-store-memory", str(_MEMORY))
    start = (sys.executable, "-m", "ray.scripts.scripts", "start", *options, "--block", "--disable-usage-stats")
    node = subprocess.Popen(
        on_disk_of_its_own(folder, "64m", *start),
        cwd=folder.parent,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()
