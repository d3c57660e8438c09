"""Hosts of a network of their own on this machine: network and process namespaces, whose cables can be pulled.

What runs on a host has its own address, its own process numbers and its own host name, and shares the files. A pulled
cable is silent: no connection is closed or refused, packets only stop to arrive, as where a machine loses its power.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from command_line import wait_for
from lacking import lacking


@dataclass
class Host:
    """A host with an address; see :func:`network`."""

    name: str
    address: str
    processes: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def command(self, *command: str) -> list[str]:
        """Return a command that runs another on this host."""
        named = f'hostname {self.name} && exec "$@"'
        apart = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--uts", "sh", "-c", named, "sh")
        return ["ip", "netns", "exec", self.name, *apart, *command]

    def start(
        self, *command: str, folder: Path, output: Path, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """Start a process here; what it says is added to a file."""
        with output.open("ab") as file:
            process = subprocess.Popen(
                self.command(*command),
                cwd=folder, stdout=file, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})},
            )  # fmt: skip
        self.processes.append(process)
        return process

    def pull_cable(self) -> None:
        """Let nothing come from here or to here any more."""
        _ip("link", "set", f"{self.name}c", "down")

    def plug_cable(self) -> None:
        """Let everything through again."""
        _ip("link", "set", f"{self.name}c", "up")

    def lose_power(self) -> None:
        """End all that runs here; nobody on the network is told, and when it is back it knows no connection."""
        self.pull_cable()
        _ip("netns", "exec", self.name, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_orphan_retries")
        for process in self.processes:
            process.kill()
            process.wait()
        wait_for(lambda: not self._connections())

    def _connections(self) -> list[str]:
        """Return the connections that the host's kernel still serves, of processes that have ended too."""
        command = ["ip", "netns", "exec", self.name, "cat", "/proc/net/tcp"]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[1:]
        return [line for line in lines if line.split()[3] != _TIME_WAIT]


_TIME_WAIT = "06"


@contextmanager
def network(n: int) -> Iterator[tuple[str, list[Host]]]:
    """Give a network for the time of the context: the address of this machine in it, and ``n`` hosts."""
    if os.geteuid() != 0:
        lacking("hosts of their own need the rights of root, for network namespaces")
    key, net = f"hms{os.getpid() % 100_000}", f"10.213.{os.getpid() % 250}"
    hosts = [Host(f"{key}h{number}", f"{net}.{number + 2}") for number in range(n)]
    try:
        _ip("link", "add", key, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", key)
        _ip("link", "set", key, "up")
        for host in hosts:
            _ip("netns", "add", host.name)
            _ip("link", "add", f"{host.name}c", "type", "veth", "peer", "name", "eth0", "netns", host.name)
            _ip("link", "set", f"{host.name}c", "master", key, "up")
            inside = ("netns", "exec", host.name, "ip")
            _ip(*inside, "addr", "add", f"{host.address}/24", "dev", "eth0")
            _ip(*inside, "link", "set", "eth0", "up")
            _ip(*inside, "link", "set", "lo", "up")
        yield f"{net}.1", hosts
    finally:
        for host in hosts:
            for process in host.processes:
                process.kill()
                process.wait()
            subprocess.run(["ip", "netns", "delete", host.name], stderr=subprocess.DEVNULL, check=False)
        subprocess.run(["ip", "link", "delete", key], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=60)
