"""Executors: where the workers of a study run."""

from typing import Annotated, Literal

from pydantic import Field

from hms_search.component import Component


class LocalExecutor(Component):
    """Processes of this machine, a GPU each where there are several."""

    name: Literal["local"] = "local"


class RayExecutor(Component):
    """Actors on a Ray cluster, each with ``cpus``, ``gpus`` and ``memory_gb`` of its own; extra ``ray``.

    ``address`` is that of a cluster that runs (``auto``, ``HOST:PORT``); without one a cluster of this machine is
    started, and stopped at the end. ``gpus`` may be a part of one. Null is 1 where the cluster has GPUs and the study's
    device may be one, else 0.
    """

    name: Literal["ray"] = "ray"
    address: str | None = Field(default=None, pattern=r"^(auto|[A-Za-z0-9_.:\[\]-]+:\d+)$")
    cpus: float = Field(default=1, gt=0)
    gpus: float | None = Field(default=None, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)


_SLURM_WORD = r"^[A-Za-z0-9_.,-]+$"


class SlurmExecutor(Component):
    """Slurm jobs, a session of one worker each, which share the study on its database server; extra ``slurm``.

    A job that was preempted, or that reached its ``hours``, puts its trials back ``notice_s`` before its end and is
    queued again, after ``hours`` up to ``requeues`` times. With ``scheduler: local``, jobs are processes of this
    machine.
    """

    name: Literal["slurm"] = "slurm"
    scheduler: Literal["slurm", "local"] = "slurm"
    partition: str | None = Field(default=None, pattern=_SLURM_WORD)
    account: str | None = Field(default=None, pattern=_SLURM_WORD)
    hours: float = Field(default=24, gt=0)
    cpus: int = Field(default=1, ge=1)
    gpus: int = Field(default=0, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)
    requeues: int = Field(default=10, ge=0)
    notice_s: int = Field(default=120, ge=1)


Executor = Annotated[LocalExecutor | RayExecutor | SlurmExecutor, Field(discriminator="name")]
"""Where trials are trained."""
