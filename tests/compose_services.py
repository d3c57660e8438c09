"""The services of docker-compose.yml as processes of this machine: their very commands, environments, health checks.

What a container would give is stood in for: a service's root folder, in which its volumes are links; its ports, each
replaced by a free one; its host name, by 127.0.0.1; and what the PostgreSQL image does before its server starts.
"""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compose_file import REPOSITORY

_START_LIMIT_S = 120
_PORTS = ("5432", "5000", "8080", "7860")
_CLUSTER = "/var/lib/postgresql/data"
_FIRST_SCRIPTS = "/docker-entrypoint-initdb.d/"


@dataclass
class Stack:
    """Services of a compose file; ``root`` is their machine, ``cluster`` an empty folder for the database's files.

    With the ``ports`` of another stack, its services reach those that run there.
    """

    services: Mapping[str, Mapping[str, Any]]
    root: Path
    cluster: Path
    postgres_binaries: Path
    ports: dict[str, int] = field(default_factory=dict)
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ports = self.ports or _free_ports()
        for name, service in self.services.items():
            self._furnish(self.folder(name), service)

    def folder(self, name: str) -> Path:
        """The working directory of a service."""
        return self.root / name / self.services[name].get("working_dir", "/").strip("/")

    def log(self, name: str) -> str:
        return (self.root / f"{name}.log").read_text(errors="replace")

    def command(self, name: str, *arguments: str) -> list[str]:
        """The service's command line; with ``arguments`` that of ``docker compose run SERVICE ARGUMENTS``."""
        service = self.services[name]
        return [self._here(name, part) for part in (*service.get("entrypoint", ()), *(arguments or service["command"]))]

    def environment(self, name: str) -> dict[str, str]:
        """All that a service's process knows of its surroundings; nothing is taken from this process's."""
        own = {key: self._here(name, value) for key, value in self.services[name].get("environment", {}).items()}
        if "PGHOST" in own:
            own |= {"PGHOST": "127.0.0.1"}
        image = {
            "PATH": f"{Path(sys.executable).parent}:{self.postgres_binaries}:/usr/bin:/bin",
            "HOME": str(self.root / name),
            "PGPORT": str(self.ports["5432"]),
            "OMP_NUM_THREADS": "1",
        }
        return {**image, **own}

    @contextmanager
    def up(self, name: str, *arguments: str) -> Iterator[None]:
        """Run a service until the context ends; it is healthy when it begins."""
        if name == "postgres":
            self._initialise()
            arguments = (*self.command(name), "-D", str(self.cluster), *self._without_sockets())
        with self._process(name, self.command(name, *arguments)):
            self.wait_until_healthy(name)
            if name == "postgres":
                self._first_scripts()
            yield

    def run(self, name: str, *arguments: str) -> str:
        """What ``docker compose run SERVICE ARGUMENTS`` prints; it must succeed."""
        done = subprocess.run(
            self.command(name, *arguments),
            cwd=self.folder(name),
            env=self.environment(name),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=240,
            check=False,
        )
        with (self.root / "runs.log").open("a") as log:
            log.write(done.stdout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def is_healthy(self, name: str) -> bool:
        kind, *check = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        command = [self._here(name, part) for part in check]
        return not subprocess.run(
            command, env=self.environment(name), cwd="/", capture_output=True, timeout=30, check=False
        ).returncode

    def wait_until_healthy(self, name: str) -> None:
        end = time.monotonic() + _START_LIMIT_S
        while not self.is_healthy(name):
            assert self.running[name].poll() is None, self.log(name)
            assert time.monotonic() < end, self.log(name)
            time.sleep(0.2)

    @contextmanager
    def _process(self, name: str, command: Sequence[str]) -> Iterator[None]:
        with (self.root / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                command,
                cwd="/" if name == "postgres" else self.folder(name),
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=self._user if name == "postgres" else None,
            )
        try:
            yield
        finally:
            process = self.running.pop(name)
            process.send_signal(signal.SIGINT if name == "postgres" else signal.SIGTERM)  # as the images ask for
            try:
                process.wait(timeout=20)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _furnish(self, folder: Path, service: Mapping[str, Any]) -> None:
        """Make a container's folders: what the image was built with, and its volumes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("studies", "search_spaces"):
            (folder / name).symlink_to(REPOSITORY / name)
        for volume in service.get("volumes", ()):
            source, target = volume.split(":")[:2]
            if target.startswith((_CLUSTER, _FIRST_SCRIPTS)):
                continue
            here = self._mounted(source)
            link = Path(self._here(folder.relative_to(self.root).parts[0], target))
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(here)

    def _mounted(self, source: str) -> Path:
        if source.startswith("."):
            return REPOSITORY / source
        volume = self.root / "volumes" / source
        volume.mkdir(parents=True, exist_ok=True)
        return volume

    def _here(self, name: str, text: str) -> str:
        """Text with a container's ports, paths and host names replaced by this machine's."""
        text = re.sub(r"(?<![\w.])/(work|artifacts|data)\b", rf"{self.root / name}/\1", text)
        text = text.replace("//mlflow:", "//127.0.0.1:")
        return re.sub(rf"\b({'|'.join(_PORTS)})\b", lambda found: str(self.ports[found[0]]), text)

    # --- what the PostgreSQL image does -------------------------------------------------------------------------------

    @property
    def _user(self) -> str | None:
        """PostgreSQL does not run as root."""
        return "postgres" if os.geteuid() == 0 else None

    def _initialise(self) -> None:
        environment = self.environment("postgres")
        password_file = self.cluster.parent / "password"
        password_file.write_text(environment["POSTGRES_PASSWORD"])
        if self._user is not None:
            for path in (self.cluster, password_file):
                shutil.chown(path, self._user)
        options = shlex.split(environment["POSTGRES_INITDB_ARGS"])
        subprocess.run(
            ["initdb", "-D", self.cluster, "-U", "postgres", f"--pwfile={password_file}", "--no-sync", *options],
            check=True, cwd="/", env=environment, user=self._user, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        password_file.unlink()

    def _without_sockets(self) -> list[str]:
        return ["-c", "listen_addresses=127.0.0.1", "-c", f"port={self.ports['5432']}",
                "-c", "unix_socket_directories=", "-c", "fsync=off"]  # fmt: skip

    def _first_scripts(self) -> None:
        environment = self.environment("postgres")
        environment |= {"PGPASSWORD": environment["POSTGRES_PASSWORD"]}
        for volume in self.services["postgres"]["volumes"]:
            source, target = volume.split(":")[:2]
            if target.startswith(_FIRST_SCRIPTS):
                subprocess.run(
                    ["psql", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "--no-password",
                     "--no-psqlrc", "--dbname", "postgres", "-f", REPOSITORY / source],
                    check=True, env=environment, cwd="/", stdout=subprocess.DEVNULL, timeout=60,
                )  # fmt: skip


def _free_ports() -> dict[str, int]:
    with ExitStack() as probes:
        probed = [probes.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _PORTS]
        return {name: probe.getsockname()[1] for name, probe in zip(_PORTS, probed, strict=True)}
