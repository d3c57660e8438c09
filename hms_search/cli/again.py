"""The commands that run trials again: ``hms-search noise`` and ``hms-search recheck``."""

from typing import Annotated

import typer

from hms_search.cli.options import StorageOption, TrackingOption

again_app = typer.Typer()

_Data = Annotated[str | None, typer.Option(help="The study's recordings, where they lie elsewhere now.")]


@again_app.command()
def noise(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    seeds: Annotated[int, typer.Option(min=2, help="Under how many other seeds.")] = 5,
    data: _Data = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run the best trial and the baseline again under other seeds and say whether the gain survives.

    Called again after an interruption, it trains nothing twice. show, report and doctor tell of what it finds.
    """
    from hms_search.cli.again_view import again_command
    from hms_search.promotion.again import AgainRequest
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    again_command(AgainRequest(study, "noise", times=seeds, data=data), places)


@again_app.command()
def recheck(
    study: Annotated[str, typer.Argument(help="The study's name.", show_default=False)],
    top: Annotated[int | None, typer.Option(min=1, help="How many of the best trials; default: 5.")] = None,
    times: Annotated[int, typer.Option(min=1, help="How often each, with other folds and seeds every time.")] = 1,
    data: _Data = None,
    storage: StorageOption = None,
    tracking_uri: TrackingOption = None,
) -> None:
    """Run the best trials and the baseline again on other folds and say how much of their gain was luck.

    promote then ranks them by what this finds. Called again after an interruption, it trains nothing twice.
    """
    from hms_search.cli.again_view import again_command
    from hms_search.promotion.again import RECHECKED, AgainRequest
    from hms_search.search.places import Places

    places = Places(storage_url=storage, tracking=tracking_uri)
    again_command(AgainRequest(study, "recheck", top=top or RECHECKED, times=times, data=data), places)
