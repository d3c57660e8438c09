"""``hms-search up``: both dashboards, and the champion's web app, with one command."""

from contextlib import ExitStack
from importlib.util import find_spec

from rich.console import Console

from hms_search.cli.serve import INSTALL, served_model
from hms_search.errors import HmsSearchError
from hms_search.promotion.models import champions, model_path
from hms_search.search.dashboard import dashboards_up
from hms_search.search.places import Places
from hms_search.servers import ChildServer, free_port


def up_command(places: Places, *, host: str, mlflow_port: int, dashboard_port: int, app_port: int) -> None:
    """Start the servers, print their addresses, and wait for Ctrl-C; what keeps the app from starting is named."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    dashboards = dashboards_up(
        storage_url=places.storage,
        tracking_uri=places.tracking_uri,
        artifacts=places.artifacts,
        pictures=places.pictures,
        host=host,
        mlflow_port=mlflow_port,
        dashboard_port=dashboard_port,
    )
    with dashboards as running, ExitStack() as stack:
        console.print(f"MLflow UI:        {running.mlflow}")
        console.print(f"optuna-dashboard: {running.dashboard}")
        app, said = champion_app(places, host, app_port, stack)
        console.print(f"web app:          {said}", markup=False)
        console.print("Ctrl-C stops all of it")
        running.wait(*app)


def champion_app(places: Places, host: str, port: int, stack: ExitStack) -> tuple[tuple[ChildServer, ...], str]:
    """Return the champion's app and its address, or no app and why in one line."""
    if find_spec("gradio") is None:
        return (), f"not installed; {INSTALL}"
    try:
        crowned = champions(places)
        if not crowned:
            return (), "no champion yet; hms-search promote STUDY makes one, hms-search serve MODEL serves any model"
        first, *others = (f"{one.name}@champion" for one in crowned)
        folder = model_path(first, places)
        app = stack.enter_context(served_model(folder, host=host, port=free_port(host, port, "the web app")))
    except HmsSearchError as error:  # the dashboards are of use without it
        return (), f"not started: {error}"
    return (app,), "; ".join((f"{app.address} ({first})", *(f"also hms-search serve {other}" for other in others)))
