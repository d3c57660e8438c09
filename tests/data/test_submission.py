"""submission.csv: written whole, and checked by the competition's rules."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hms_search.data.labels import VOTE_COLUMNS
from hms_search.data.submission import SUBMISSION_COLUMNS, check_submission, write_submission
from hms_search.errors import DataError

IDS = np.array([3911565283, 7, 12])
CLASSES = list(VOTE_COLUMNS)


def distributions(rows: int, seed: int = 0, concentration: float = 0.3) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.full(6, concentration), rows)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_submission(tmp_path / "submission.csv", IDS, distributions(3))
    return tmp_path / "submission.csv"


def test_a_written_submission_has_kaggles_columns_and_passes_the_check(path: Path) -> None:
    header = path.read_text().splitlines()[0]
    assert header == "eeg_id,seizure_vote,lpd_vote,gpd_vote,lrda_vote,grda_vote,other_vote"
    assert check_submission(path, IDS)["eeg_id"].tolist() == IDS.tolist()


@given(seed=st.integers(0, 10_000), concentration=st.sampled_from([1e-4, 0.05, 1.0, 1e4]))
@settings(deadline=None, max_examples=30)
def test_what_is_written_comes_back_to_the_last_bit_and_adds_up(
    tmp_path_factory: pytest.TempPathFactory, seed: int, concentration: float
) -> None:
    path = tmp_path_factory.mktemp("written") / "submission.csv"
    written = distributions(20, seed, concentration)
    write_submission(path, np.arange(20), written)
    back = [[float(cell) for cell in line.split(",")[1:]] for line in path.read_text().splitlines()[1:]]
    np.testing.assert_array_equal(back, written)
    np.testing.assert_allclose(check_submission(path, np.arange(20))[CLASSES].sum(axis=1), 1, rtol=0, atol=1e-12)


def test_writing_replaces_a_file_whole_or_leaves_it(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(DataError, match="missing"):
        write_submission(path, IDS, np.full((3, 6), np.nan))
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    write_submission(path, IDS, distributions(3, seed=1))
    assert path.read_bytes() != before


def test_a_place_that_cannot_be_written_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*under\.csv"):
        write_submission(path / "under.csv", IDS, distributions(3))


def set_cell(row: int, column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        table = table.astype({column: object}) if isinstance(value, str) else table
        table.loc[row, column] = value
        return table

    return change


CHANGES: dict[str, tuple[Callable[[pd.DataFrame], pd.DataFrame], str | None]] = {
    "columns in another order": (lambda t: t[list(reversed(t.columns))], None),
    "rows in another order": (lambda t: t[::-1], None),
    "a sum off by 4e-6": (
        lambda t: t.assign(other_vote=t["other_vote"] * 0 + 1 - t[CLASSES[:5]].sum(axis=1) - 4e-6),
        None,
    ),
    "a sum off by 8e-6": (
        lambda t: t.assign(other_vote=np.maximum(0, 1 - t[CLASSES[:5]].sum(axis=1)) + 8e-6),
        "do not add up to 1",
    ),
    "a column missing": (lambda t: t.drop(columns="lpd_vote"), "missing column lpd_vote"),
    "a column too many": (lambda t: t.assign(extra=1.0), "unexpected column 'extra'"),
    "an index column": (lambda t: t.reset_index(), "unexpected column 'index'"),
    "no id column": (lambda t: t.drop(columns="eeg_id"), "missing column eeg_id"),
    "text for a number": (set_cell(0, "lpd_vote", "high"), "lpd_vote must be a number"),
    "a NaN": (set_cell(1, "gpd_vote", np.nan), "missing (NaN) in 1 rows: eeg_id 7"),
    "below 0": (lambda t: set_cell(0, "gpd_vote", -0.1)(t), "below 0 in 1 rows: eeg_id 3911565283"),
    "above 1": (lambda t: set_cell(2, "gpd_vote", 1.1)(t), "above 1 in 1 rows: eeg_id 12"),
    "votes, not probabilities": (lambda t: t.assign(**dict.fromkeys(CLASSES, 3)), "do not add up to 1 in 3 rows"),
    "a row missing": (lambda t: t.iloc[:2], "expected 3 rows, found 2"),
    "a row twice": (lambda t: pd.concat([t, t.iloc[:1]]), "appears more than once: 3911565283"),
    "a row twice instead of another": (lambda t: t.iloc[[0, 1, 1]], "eeg_id missing: 12"),
    "another id": (set_cell(0, "eeg_id", 5), "eeg_id not asked for: 5"),
    "an id that is no number": (set_cell(0, "eeg_id", "x7"), "eeg_id must be a number"),
    "an id that is missing": (
        lambda t: t.assign(eeg_id=t["eeg_id"].where(t["eeg_id"] != 7)),
        "eeg_id must be a number",
    ),
    "ids written as decimals": (lambda t: t.astype({"eeg_id": float}), None),
}


def would_be_scored(path: Path) -> bool:
    """The rules of domain and graders, in their own order: the reference that the check is held against."""
    table = pd.read_csv(path)
    if set(table.columns) != set(SUBMISSION_COLUMNS) or len(table) != len(IDS):
        return False
    values = table[CLASSES]
    if not all(pd.api.types.is_numeric_dtype(kind) for kind in values.dtypes) or values.isna().any(axis=None):
        return False
    sums = values.sum(axis=1)
    in_range = values.min().min() >= 0 and values.max().max() <= 1
    adds_up = np.allclose(sums, 1) and sums.apply(lambda total: round(total, 5) == 1).all()
    return bool(in_range and adds_up and set(table["eeg_id"]) == set(IDS))


@pytest.mark.parametrize("name", CHANGES)
def test_the_check_refuses_what_the_competition_would_not_score_and_nothing_else(path: Path, name: str) -> None:
    change, reason = CHANGES[name]
    change(pd.read_csv(path)).to_csv(path, index=False)
    assert would_be_scored(path) == (reason is None)
    if reason is None:
        check_submission(path, IDS)
        return
    with pytest.raises(DataError) as error:
        check_submission(path, IDS)
    assert reason in str(error.value)


def test_all_faults_of_a_submission_are_listed_at_once(path: Path) -> None:
    table = pd.read_csv(path)
    table.loc[0, "lpd_vote"] = np.nan
    table.loc[1, "gpd_vote"] = -2.0
    table.assign(eeg_id=[1, 7, 7]).to_csv(path, index=False)
    with pytest.raises(DataError) as error:
        check_submission(path, IDS)
    for part in ("NaN", "below 0", "add up", "more than once: 7", "missing: 12", "not asked for: 1"):
        assert part in str(error.value)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", None])
def test_a_file_that_is_no_table_is_named(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "submission.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"submission\.csv"):
        check_submission(tmp_path / "submission.csv", IDS)
