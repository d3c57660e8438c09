"""``hms-search serve``: a model's web app."""

import os
import tempfile
from pathlib import Path

from rich.console import Console

from hms_search.errors import ConfigError
from hms_search.inference.model_folder import open_model


def serve_command(folder: Path, *, host: str, port: int, auth: str | None, device: str) -> None:
    """Serve a model's web app, print its address, and wait for Ctrl-C.

    Gradio reads from the environment, as it is imported, where uploads go (a folder that ends with the app) and
    whether it tells its makers about them (no).
    """
    console = Console(highlight=False, soft_wrap=True)

    def ready(address: str) -> None:
        console.print(f"web app: {address}\nJSON:    {address}/api/predict, described by {address}/openapi.json")
        console.print("Ctrl-C stops it")

    with tempfile.TemporaryDirectory(prefix="hms-search-") as uploads:
        os.environ |= {"GRADIO_TEMP_DIR": uploads, "GRADIO_ANALYTICS_ENABLED": "False"}
        try:
            from hms_search.web.app import serve
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"the web app needs the package {error.name}, which is not installed: pip install 'hms-search[app]'"
            ) from None
        serve(open_model(folder), host=host, port=port, auth=auth, device=device, on_ready=ready)
