"""Out-of-fold files, ours and others', and the leaks that keep members from being blended."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from members import distributions, member, noisy_members, samples_of

from hms_search.data.labels import CLASSES, VOTE_COLUMNS
from hms_search.data.oof import OutOfFold, oof_bytes, out_of_fold, read_oof, write_oof
from hms_search.data.oof_alignment import align
from hms_search.errors import DataError

ROWS = 12
PATIENTS = np.arange(ROWS) // 2
PROBABILITIES = distributions(ROWS, seed=0)
VOTES = np.random.default_rng(1).integers(0, 5, (ROWS, 6)) + np.eye(6, dtype=int)[np.arange(ROWS) % 6]
TARGETS = VOTES / VOTES.sum(axis=1, keepdims=True)


def columns(spelling: str, values: np.ndarray) -> dict[str, np.ndarray]:
    return {spelling.format(name): values[:, i] for i, name in enumerate(CLASSES)}


def user_table(prediction: str = "{}_pred", target: str | None = "{}_vote", **changes: object) -> pd.DataFrame:
    """A table as a user may bring it; votes as targets."""
    table = {"label_id": np.arange(ROWS) + 7, "fold": PATIENTS % 3, "patient_id": PATIENTS}
    table |= columns(prediction, PROBABILITIES) | (columns(target, VOTES) if target else {})
    return pd.DataFrame({**table, **changes})


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., Path]:
    """Writes a table as .csv or .parquet."""

    def write(table: pd.DataFrame, name: str = "mine.csv") -> Path:
        path = tmp_path / name
        if path.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False)
        return path

    return write


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    """A train.csv: two rows per EEG and four per spectrogram, the votes of label 0 in one row above nine."""
    votes = VOTES.copy()
    votes[0, 0] = 12
    table = pd.DataFrame(
        {
            "label_id": np.arange(ROWS) + 7,
            "eeg_id": 100 + np.arange(ROWS) // 2,
            "spectrogram_id": 200 + np.arange(ROWS) // 4,
            "patient_id": 50 + np.arange(ROWS) // 4,
            **dict(zip(VOTE_COLUMNS, votes.T, strict=True)),
        }
    )
    path = tmp_path / "train.csv"
    table.to_csv(path, index=False)
    return path


def same(first: OutOfFold, second: OutOfFold) -> bool:
    return (
        first.samples.equals(second.samples)
        and np.array_equal(first.targets, second.targets)
        and np.array_equal(first.probabilities, second.probabilities)
    )


def test_our_own_file_comes_back_bit_by_bit(tmp_path: Path) -> None:
    oof = noisy_members()[0]
    write_oof(oof, tmp_path / "a.parquet")
    again = read_oof(tmp_path / "a.parquet")
    assert same(oof, again)
    assert again.name == "a"
    assert oof_bytes(again) == oof_bytes(oof) == (tmp_path / "a.parquet").read_bytes()
    assert list(tmp_path.iterdir()) == [tmp_path / "a.parquet"]


def test_our_file_has_the_columns_that_the_format_names(tmp_path: Path) -> None:
    write_oof(noisy_members()[0], tmp_path / "a.parquet")
    table = pd.read_parquet(tmp_path / "a.parquet")
    ids = ["sample_id", "eeg_id", "spectrogram_id", "patient_id", "n_votes", "stratum", "fold"]
    assert list(table.columns) == [*ids, *(f"{kind}_{name}" for kind in ("target", "pred") for name in CLASSES)]
    assert table["sample_id"].is_monotonic_increasing
    assert set(table["stratum"]) == {"high", "low"}


def test_rows_are_sorted_by_sample_together() -> None:
    oof, order = noisy_members()[0], np.random.default_rng(0).permutation(180)
    shuffled = out_of_fold(
        oof.name, oof.samples.iloc[order], oof.folds[order], oof.targets[order], oof.probabilities[order]
    )
    assert same(oof, shuffled)


def test_a_model_folders_file_is_called_after_the_folder(tmp_path: Path) -> None:
    (tmp_path / "b1").mkdir()
    write_oof(noisy_members()[0], tmp_path / "b1" / "oof.parquet")
    assert read_oof(tmp_path / "b1" / "oof.parquet").name == "b1"
    assert read_oof(tmp_path / "b1" / "oof.parquet", name="mine").name == "mine"


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("prediction", ["pred_{}", "{}_pred", "{}_prob", "p_{}", "{}"])
@pytest.mark.parametrize("target", ["target_{}", "{}_target", "{}_vote"])
def test_a_users_spelling_of_predictions_and_targets_is_read(
    written: Callable[..., Path], suffix: str, prediction: str, target: str
) -> None:
    oof = read_oof(written(user_table(prediction, target), f"mine{suffix}"))
    np.testing.assert_allclose(oof.probabilities, PROBABILITIES, rtol=0, atol=1e-12)
    np.testing.assert_allclose(oof.targets, TARGETS, rtol=0, atol=1e-12)
    np.testing.assert_array_equal(oof.samples["sample_id"], np.arange(ROWS) + 7)
    np.testing.assert_array_equal(oof.high, VOTES.sum(axis=1) >= 10)
    np.testing.assert_array_equal(oof.folds, PATIENTS % 3)
    np.testing.assert_array_equal(oof.patients, PATIENTS)


def test_a_submissions_columns_are_predictions_where_nothing_else_is(
    written: Callable[..., Path], labels: Path
) -> None:
    oof = read_oof(written(user_table("{}_vote", None)), labels=labels)
    np.testing.assert_allclose(oof.probabilities, PROBABILITIES, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("key", "ids", "rows_each"), [("label_id", 7, 1), ("eeg_id", 100, 2), ("spectrogram_id", 200, 4)]
)
def test_votes_and_patients_come_from_the_labels_summed_per_id(
    written: Callable[..., Path], labels: Path, key: str, ids: int, rows_each: int
) -> None:
    n = ROWS // rows_each
    groups = np.arange(ROWS) // rows_each
    table = pd.DataFrame({key: ids + np.arange(n), "fold": np.arange(n) % 3, **columns("p_{}", PROBABILITIES[:n])})
    oof = read_oof(written(table.sample(frac=1, random_state=0)), labels=labels)
    votes = pd.read_csv(labels)[list(VOTE_COLUMNS)].to_numpy()
    summed = np.stack([votes[groups == i].sum(axis=0) for i in range(n)])
    np.testing.assert_allclose(oof.targets, summed / summed.sum(axis=1, keepdims=True), atol=1e-12)
    np.testing.assert_array_equal(oof.high, [(votes[groups == i].sum(axis=1) >= 10).any() for i in range(n)])
    np.testing.assert_array_equal(oof.patients, [50 + np.flatnonzero(groups == i)[0] // 4 for i in range(n)])
    np.testing.assert_array_equal(oof.samples["n_votes"], summed.sum(axis=1))
    if key != "label_id":
        np.testing.assert_array_equal(oof.samples[key], oof.samples["sample_id"])


def test_ids_may_be_the_index_and_further_ids_may_be_anything(tmp_path: Path) -> None:
    table = user_table(eeg_id=["x", *range(1, ROWS)], spectrogram_id=[np.nan, 0.5, *range(2, ROWS)])
    table.drop(columns="eeg_id").set_index("label_id").to_parquet(tmp_path / "mine.parquet")
    table.to_csv(tmp_path / "mine.csv", index=False)
    for suffix in (".parquet", ".csv"):
        oof = read_oof(tmp_path / f"mine{suffix}")
        np.testing.assert_array_equal(oof.samples["sample_id"], np.arange(ROWS) + 7)
        assert oof.samples["spectrogram_id"].isna().sum() == 2
    assert oof.samples["eeg_id"].isna().sum() == 1


def test_what_the_file_says_goes_before_the_labels(written: Callable[..., Path], labels: Path) -> None:
    oof = read_oof(written(user_table(stratum=["high", "low"] * 6)), labels=labels)
    np.testing.assert_allclose(oof.targets, TARGETS, atol=1e-12)
    np.testing.assert_array_equal(oof.patients, PATIENTS)
    np.testing.assert_array_equal(oof.high, [True, False] * 6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="label_id"), "expected an id column, one of sample_id, label_id"),
        (lambda t: t.drop(columns="fold"), "expected a column fold"),
        (lambda t: t.drop(columns="gpd_pred"), "there is no column gpd_pred"),
        (lambda t: t.drop(columns=[f"{name}_pred" for name in CLASSES] + list(VOTE_COLUMNS)), "six predicted prob"),
        (lambda t: t.drop(columns="patient_id"), "no column patient_id.*--labels TRAIN.csv"),
        (lambda t: t.drop(columns=list(VOTE_COLUMNS)), "no targets.*--labels TRAIN.csv"),
        (lambda t: t.assign(**columns("{}_vote", TARGETS)), "votes a row has is not known.*--labels TRAIN.csv"),
        (lambda t: t.assign(stratum="middle"), "expected high or low.*'middle'"),
        (lambda t: t.assign(fold=[0.5] * ROWS), "expected integers in column fold, found 0.5"),
        (lambda t: t.assign(fold=[np.inf] * ROWS), "expected integers in column fold, found inf"),
        (lambda t: t.assign(label_id=["x"] * ROWS), "expected integers in column label_id, found x"),
        (lambda t: t.assign(lpd_pred=["x"] * ROWS), "expected numbers in column lpd_pred"),
        (lambda t: t.assign(label_id=[7, 7, 8, 8, 8, *range(20, 27)]), "2 samples come more than once: 7, 8"),
        (lambda t: t.assign(lpd_pred=[np.nan, *t["lpd_pred"][1:]]), "finite and not negative.*1 of 12 rows: sample 7$"),
        (lambda t: t.assign(lpd_pred=-t["lpd_pred"]), "finite and not negative"),
        (lambda t: t.assign(lpd_pred=t["lpd_pred"] + 0.1), "sum to 1.*found 1.1 to 1.1 in 12 of 12 rows"),
        (lambda t: t.assign(**columns("{}_vote", VOTES * (np.arange(ROWS) > 1)[:, None])), "2 rows have no vote.*7, 8"),
        (lambda t: t[:0], "at least one out-of-fold prediction, found no row"),
    ],
)
def test_a_faulty_file_is_refused_with_what_to_do(
    written: Callable[..., Path], change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_oof(written(change(user_table()), "mine.parquet"))


def test_probabilities_rounded_in_a_file_are_normalised_and_foreign_sums_are_not(written: Callable[..., Path]) -> None:
    rounded = user_table(**columns("{}_pred", PROBABILITIES.round(4)))
    np.testing.assert_allclose(read_oof(written(rounded)).probabilities.sum(axis=1), 1, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.csv", None, "no file"),
        ("oof.txt", "label_id,fold", "expected a .parquet or .csv file"),
        ("broken.parquet", "no parquet", "cannot be read"),
        ("empty.csv", "", "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=message):
        read_oof(tmp_path / name)


def test_labels_that_do_not_help_are_named(written: Callable[..., Path], labels: Path, tmp_path: Path) -> None:
    bare = user_table(target=None).drop(columns="patient_id")
    for table, path, message in (
        (bare, tmp_path / "nowhere.csv", "no file .*nowhere.csv"),
        (bare.rename(columns={"label_id": "sample_id"}), labels, "sample_id cannot be looked up"),
        (bare.assign(label_id=np.arange(ROWS) + 10), labels, "3 of 12 rows have a label_id that .* 19, 20, 21"),
        (bare, written(pd.DataFrame({"label_id": [7]}), "other.csv"), "expected a train.csv with the columns"),
    ):
        with pytest.raises(DataError, match=message):
            read_oof(written(table), labels=path)
    table = pd.read_csv(labels)
    table.assign(lpd_vote="many").to_csv(tmp_path / "text.csv", index=False)
    with pytest.raises(DataError, match=r"text.csv: expected numbers in column lpd_vote"):
        read_oof(written(bare), labels=tmp_path / "text.csv")
    table.loc[1, "patient_id"] = 99
    table.to_csv(labels, index=False)
    by_eeg = bare[:6].assign(eeg_id=100 + np.arange(6)).drop(columns="label_id")
    with pytest.raises(DataError, match="eeg_id 100 belongs to more than one patient"):
        read_oof(written(by_eeg), labels=labels)


def changed(oof: OutOfFold, *, rows: slice = slice(None), name: str = "other", **changes: object) -> OutOfFold:
    samples = oof.samples.assign(**{k: v for k, v in changes.items() if k in oof.samples})[rows]
    targets = changes.get("targets", oof.targets)
    assert isinstance(targets, np.ndarray)
    return out_of_fold(name, samples, samples["fold"].to_numpy(), targets[rows], oof.probabilities[rows])


def test_aligned_members_have_the_same_rows_and_the_same_numbers_of_folds() -> None:
    first, second, third = noisy_members()
    renumbered = changed(second, name="b", fold=np.array([7, 3, 5])[second.folds])
    aligned = align([first, renumbered, third])
    assert [m.name for m in aligned] == ["a", "b", "c"]
    for before, after in zip((first, second, third), aligned, strict=True):
        assert same(before, after)


def test_rows_that_a_member_does_not_cover_are_refused_and_named() -> None:
    first, second, _ = noisy_members()
    message = "member b has no out-of-fold prediction for 2 of 180 samples that other members have: 1000, 1001;"
    for members in ([first, changed(second, name="b", rows=slice(2, None))],) * 2:
        with pytest.raises(DataError, match=message):
            align(members)
        with pytest.raises(DataError, match=message):
            align(members[::-1])


def test_a_patient_in_two_folds_is_refused_and_named() -> None:
    first, second, _ = noisy_members()
    folds = second.folds.copy()
    folds[0], folds[3] = 1, 2  # of patients 0 and 1
    with pytest.raises(DataError, match=r"member b has 2 patients in more than one fold: patient 0, 1;.*grouped"):
        align([first, changed(second, name="b", fold=folds)])


@pytest.mark.parametrize(
    ("folds_of", "patients"),
    [
        (lambda patients: np.where(patients == 4, 2, patients % 3), "1 patients lie with others, patient 4;"),
        (lambda patients: patients % 6, "60 patients"),
        (lambda patients: np.minimum(patients % 3, 1), "patients lie with others"),
        (lambda patients: patients * 0, "patients lie with others"),
        (lambda patients: patients // 20, "patients lie with others"),
    ],
    ids=["one moved", "halved", "merged", "one fold", "other folds"],
)
def test_folds_that_differ_between_members_are_refused(
    folds_of: Callable[[np.ndarray], np.ndarray], patients: str
) -> None:
    first, second, third = noisy_members()
    other = changed(second, name="b", fold=folds_of(second.patients))
    with pytest.raises(DataError, match=f"the folds of member b differ from those of a: .*{patients}"):
        align([first, third, other])
    with pytest.raises(DataError, match="the folds of member a differ from those of b"):
        align([other, first])


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("targets", lambda oof: {"targets": oof.targets[:, ::-1]}),
        ("strata", lambda oof: {"stratum": np.where(oof.high, "low", "high")}),
        ("patients", lambda oof: {"patient_id": oof.patients + 1}),
    ],
)
def test_members_scored_against_other_labels_are_refused(
    what: str, change: Callable[[OutOfFold], dict[str, object]]
) -> None:
    first, second, _ = noisy_members()
    with pytest.raises(DataError, match=f"the {what} of member b differ from those of a in .* of 180 rows"):
        align([first, changed(second, name="b", **change(second))])


def test_a_member_twice_and_no_member_at_all_are_refused() -> None:
    first = noisy_members()[0]
    with pytest.raises(DataError, match="different names, found a more than once"):
        align([first, first])
    with pytest.raises(DataError, match="at least one member, found none"):
        align([])


def test_unknown_optional_ids_stay_unknown() -> None:
    samples = samples_of(PATIENTS).drop(columns=["eeg_id", "n_votes"])
    oof = out_of_fold("bare", samples, PATIENTS % 3, TARGETS, PROBABILITIES)
    assert oof.samples[["eeg_id", "spectrogram_id", "n_votes"]].isna().all(axis=None)
    assert len(oof) == ROWS
    assert align([oof, member("full", PROBABILITIES, TARGETS, PATIENTS)])
