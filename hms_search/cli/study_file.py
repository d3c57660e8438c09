"""A study's file as a command was given it."""

from pathlib import Path

from hms_search.errors import ConfigError
from hms_search.search.study import StudyConfig, read_study


def given_study(path: Path, settings: tuple[str, ...]) -> StudyConfig:
    """Return the study of a file with its settings; raises ConfigError where these would be without effect."""
    config = read_study(path, settings)
    if config.rounds is not None and any(setting.startswith("trials=") for setting in settings):
        raise ConfigError(
            f"trials: study {config.name} has rounds, each of its own number; write --set rounds.trials=N, or "
            "--set rounds.count=N"
        )
    return config
