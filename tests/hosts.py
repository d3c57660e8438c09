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

from lacking import lacking


@dataclass
class Host:
    """A host with an address; see :func:`network`."""

    name: str
    address: str
    bridge: str
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
        _ip("link", "set", self._cable, "down")

    def plug_cable(self) -> None:
        """Let everything through again."""
        _ip("link", "set", self._cable, "up")

    def lose_power(self) -> None:
        """End all that runs here, and begin anew; nobody is told, and the host has forgotten all connections."""
        _ip("link", "delete", self._cable)
        self.remove()
        self.install()

    def install(self) -> None:
        """Bring the host into being, its cable plugged."""
        _ip("netns", "add", self.name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        _ip("link", "set", self._cable, "master", self.bridge, "up")
        inside = ("netns", "exec", self.name, "ip")
        _ip(*inside, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _ip(*inside, "link", "set", "eth0", "up")
        _ip(*inside, "link", "set", "lo", "up")

    def remove(self) -> None:
        """End the host with all that runs here."""
        for process in self.processes:
            process.kill()
            process.wait()
        subprocess.run(["ip", "netns", "delete", self.name], stderr=subprocess.DEVNULL, check=False)

    @property
    def _cable(self) -> str:
        return f"{self.name}c"


@contextmanager
def network(n: int) -> Iterator[tuple[str, list[Host]]]:
    """Give a network for the time of the context: the address of this machine in it, and ``n`` hosts."""
    if os.geteuid() != 0:
        lacking("hosts of their own need the rights of root, for network namespaces")
    bridge, net = f"hms{os.getpid() % 100_000}", f"10.213.{os.getpid() % 250}"
    hosts = [Host(f"{bridge}h{number}", f"{net}.{number + 2}", bridge) for number in range(n)]
    try:
        _ip("link", "add", bridge, "type", "bridge")
        _ip("addr", "add", f"{net}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for host in hosts:
            host.install()
        yield f"{net}.1", hosts
    finally:
        for host in hosts:
            host.remove()
        subprocess.run(["ip", "link", "delete", bridge], stderr=subprocess.DEVNULL, check=False)


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, timeout=60)
