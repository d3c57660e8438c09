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
    address: str | None = Field(default=None, min_length=1)
    cpus: float = Field(default=1, gt=0)
    gpus: float | None = Field(default=None, ge=0)
    memory_gb: float | None = Field(default=None, gt=0)


Executor = Annotated[LocalExecutor | RayExecutor, Field(discriminator="name")]
"""Where trials are trained."""
