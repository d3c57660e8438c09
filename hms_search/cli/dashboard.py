"""``hms-search dashboard``: optuna-dashboard by itself."""

import signal
from collections.abc import Collection
from contextlib import suppress

from rich.console import Console

from hms_search.search.dashboard import serve_dashboard
from hms_search.search.places import Places


def dashboard_command(places: Places, *, host: str, port: int, names: Collection[str]) -> None:
    """Serve the studies' dashboard, print its address, and wait for Ctrl-C or SIGTERM."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    served = serve_dashboard(places.storage, places.pictures, host=host, port=port, names=names)
    with suppress(KeyboardInterrupt), served as address:
        console.print(f"optuna-dashboard: {address}\nCtrl-C stops it")
        signal.pause()
