"""``hms-search serve``: a model's web app."""

import os
import signal
import sys
import tempfile
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from hms_search.errors import ConfigError
from hms_search.inference.model_folder import open_model
from hms_search.servers import ChildServer, address_of, child_server

INSTALL = "pip install 'hms-search[app]'"


def serve_command(folder: Path, *, host: str, port: int, auth: str | None, device: str, names: Collection[str]) -> None:
    """Serve a model's web app, print its address, and wait for Ctrl-C.

    Gradio reads from the environment, as it is imported, where uploads go (a folder that ends with the app) and
    whether it tells its makers about them (no).
    """
    console = Console(highlight=False, soft_wrap=True, emoji=False)

    def ready(address: str) -> None:
        console.print(f"web app: {address}\nJSON:    {address}/api/predict, described by {address}/openapi.json")
        console.print("Ctrl-C stops it")

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what is open is tidied up then, too
    with tempfile.TemporaryDirectory(prefix="hms-search-") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from hms_search.web.app import serve
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the web app needs the package {error.name}, which is not installed: {INSTALL}"
            ) from None
        serve(open_model(folder), address=(host, port), auth=auth, device=device, names=names, on_ready=ready)


@contextmanager
def served_model(folder: Path, *, host: str, port: int) -> Iterator[ChildServer]:
    """Serve a model's web app from a process of its own until the context ends; raises ServerError as it does."""
    command = (sys.executable, "-m", "hms_search", "serve", str(folder), "--host", host, "--port", str(port))
    address = address_of(host, port)
    with child_server("the web app", command, address=address, health="/openapi.json", environment={}) as server:
        yield server
