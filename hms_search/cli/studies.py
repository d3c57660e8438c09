"""The commands that read a study and run nothing of it."""

from pathlib import Path
from typing import Annotated

import typer

from hms_search.cli.options import StorageOption

studies_app = typer.Typer()


@studies_app.command()
def narrow(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Write the space to this YAML file.", show_default=False)
    ] = None,
    storage: StorageOption = None,
) -> None:
    """Narrow a study's space by its trials: what moves, what is dropped or frozen, and why.

    The file can be edited and run: name it as the space of another study.
    """
    from hms_search.cli.narrow import narrow_command
    from hms_search.search.session import Places

    narrow_command(study, output, Places(storage_url=storage))
