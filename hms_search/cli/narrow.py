"""``hms-search narrow``: the space that a study's trials leave, and why."""

from pathlib import Path

from rich.console import Console

from hms_search.cli.tables import changes_table
from hms_search.data.atomic import replacing
from hms_search.errors import ConfigError, StudyError
from hms_search.search.history import study_history
from hms_search.search.narrowing import narrow
from hms_search.search.places import Places
from hms_search.search.space_file import narrowed_text
from hms_search.search.storage import existing_storage


def narrow_command(study: str, output: Path | None, places: Places) -> None:
    """Print what becomes of each parameter, and write the narrowed space where ``output`` says so."""
    console = Console(highlight=False, emoji=False)
    with existing_storage(places.storage) as storage:
        history = study_history(storage, study)
    config = history.config
    if config.aims:
        raise StudyError(
            f"a space is narrowed by one value, study {study!r} has {len(config.aims)} aims; narrow by hand"
        )
    rule = config.rounds.narrow if config.rounds is not None else None  # what the next round would do
    narrowed = narrow(config.space, history.trials, rule, direction=config.learned.direction, seed=config.seed)
    console.print(changes_table(narrowed.changes))
    if output is None:
        console.print("to have it as a file: add -o space.yaml", markup=False)
        return
    _write(output, narrowed_text(narrowed, origin=f"study {study}"))
    moved, all_of_them = len(narrowed.moved), len(narrowed.changes)
    console.print(f"written: {output} ({moved} of {all_of_them} parameters moved)", markup=False, soft_wrap=True)


def _write(output: Path, text: str) -> None:
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with replacing(output) as partial:
            partial.write_text(text, encoding="utf-8")
    except (IsADirectoryError, NotADirectoryError, FileExistsError, PermissionError) as error:
        raise ConfigError(
            f"--output {output}: expected a file to write the space to, as space.yaml, in a folder that this user may "
            f"write; found: {error.strerror}"
        ) from error
