"""``hms-search up``: both dashboards with one command."""

from rich.console import Console

from hms_search.search.dashboard import dashboards_up
from hms_search.search.session import Places


def up_command(places: Places, host: str, mlflow_port: int, dashboard_port: int) -> None:
    """Start both servers, print their addresses, and wait for Ctrl-C."""
    console = Console(highlight=False, soft_wrap=True)
    with dashboards_up(
        storage_url=places.storage,
        tracking_uri=places.tracking_uri,
        artifacts=places.artifacts,
        pictures=places.pictures,
        host=host,
        mlflow_port=mlflow_port,
        dashboard_port=dashboard_port,
    ) as running:
        console.print(f"MLflow UI:        {running.mlflow}")
        console.print(f"optuna-dashboard: {running.dashboard}")
        console.print("Ctrl-C stops both")
        running.wait()
