"""``hms-search report``: a study on one page, in HTML and in Markdown."""

import sys
from importlib import import_module
from pathlib import Path

import typer
from rich.console import Console

from hms_search.data.atomic import replacing
from hms_search.errors import ConfigError, TrackingError
from hms_search.search.places import Places
from hms_search.search.report_page import study_page
from hms_search.search.storage import existing_storage
from hms_search.tracking import NO_TRACKING, RunReader, open_tracker


def report_command(study: str, output: Path | None, places: Places) -> None:
    """Write both files, print the Markdown, and keep both with the study's MLflow run."""
    page_path = output or places.root / "reports" / f"{study}.html"
    if page_path.suffix != ".html":
        raise ConfigError(f"expected a file name that ends in .html, found {page_path}; the Markdown goes beside it")
    messages = Console(stderr=True, soft_wrap=True, highlight=False, emoji=False)
    reader = _reader(places, messages)
    _load_plots()
    with existing_storage(places.storage) as storage:
        page = study_page(storage, study, reader)
    files = {".html": page.html().encode(), ".md": page.markdown().encode()}
    page_path.parent.mkdir(parents=True, exist_ok=True)
    for suffix, content in files.items():
        with replacing(page_path.with_suffix(suffix)) as partial:
            partial.write_bytes(content)
    typer.echo(files[".md"].decode())
    if reader is not None:
        _keep(files, study, places, messages)
    messages.print(f"written: {page_path} and {page_path.with_suffix('.md')}", markup=False)


def _load_plots() -> None:
    """Load Optuna's plots as where Matplotlib is missing: it loads that beside Plotly, 0.3 s for plots of no page."""
    missing = "matplotlib" not in sys.modules
    if missing:
        sys.modules["matplotlib"] = None  # type: ignore[assignment]
    try:
        import_module("optuna.visualization")
    finally:
        if missing:
            del sys.modules["matplotlib"]


def _reader(places: Places, messages: Console) -> RunReader | None:
    if places.tracking_uri == NO_TRACKING:
        return None
    try:
        return RunReader(places.tracking_uri)
    except TrackingError as error:
        if places.tracking is not None:
            raise
        messages.print(f"warning: the report goes without MLflow's part: {error}", style="yellow", markup=False)
        return None


def _keep(files: dict[str, bytes], study: str, places: Places, messages: Console) -> None:
    try:
        tracker = open_tracker(places.tracking_uri, places.artifacts, study=study)
        kept = {f"report{suffix}": content for suffix, content in files.items()}
        tracker.add(tracker.study_run(), metrics={}, files=kept)
    except TrackingError as error:
        messages.print(f"warning: the report is not kept in MLflow: {error}", style="yellow", markup=False)
