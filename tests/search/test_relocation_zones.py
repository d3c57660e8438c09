"""A study is moved between machines in different time zones."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from relocatable import config_of, recorder
from store_dumps import moved

from hms_search.errors import StudyError
from hms_search.search import study_copy
from hms_search.search.places import Places
from hms_search.search.study_copy import read_record

Travel = Callable[[str], None]


@pytest.fixture
def travel() -> Iterator[Travel]:
    """Go to a time zone."""
    with pytest.MonkeyPatch.context() as patch:

        def go(zone: str) -> None:
            patch.setenv("TZ", zone)
            time.tzset()

        yield go
    time.tzset()


def record(places: Places, outcome: str) -> None:
    config = config_of(rounds=None)
    recorder(config, places).trial(outcome)


def fingerprint(places: Places) -> str:
    found = read_record(recorder(config_of(rounds=None), places).study._storage, "small")
    assert found is not None
    return found.fingerprint


@pytest.mark.parametrize("zone", ["Asia/Tokyo", "America/New_York"])
def test_a_study_that_went_on_in_another_time_zone_comes_back(zone: str, tmp_path: Path, travel: Travel) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    travel("Europe/Berlin")
    for outcome in ("complete", "pruned"):
        record(here, outcome)
    before = fingerprint(here)
    moved(here, there)
    travel(zone)
    assert fingerprint(here) == before
    record(there, "complete")
    assert moved(there, here).trials == 3
    travel("Europe/Berlin")
    assert fingerprint(here) == fingerprint(there)


def test_a_copy_that_an_earlier_version_made_is_known_again(
    tmp_path: Path, travel: Travel, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    travel("Asia/Tokyo")
    record(here, "complete")
    with monkeypatch.context() as earlier:
        earlier.setattr(study_copy, "_in_utc", lambda moment: moment.isoformat())
        moved(here, there)
    record(there, "complete")
    assert moved(there, here).trials == 2


def test_a_study_that_went_on_in_both_places_is_refused_in_any_zone(tmp_path: Path, travel: Travel) -> None:
    here, there = Places(root=tmp_path / "here"), Places(root=tmp_path / "there")
    travel("UTC")
    record(here, "complete")
    moved(here, there)
    record(here, "complete")
    record(there, "complete")
    travel("Asia/Tokyo")
    with pytest.raises(StudyError):
        moved(there, here)
