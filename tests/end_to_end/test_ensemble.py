"""``hms-search ensemble`` on files of out-of-fold predictions."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import CommandLine
from members import noisy_members
from safetensors.torch import load_file

from hms_search.data.labels import CLASSES, VOTE_COLUMNS
from hms_search.data.oof import read_oof, write_oof
from hms_search.ensemble.blends import FittedBlend, StackingBlend
from hms_search.training.metrics import kl


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line in a folder with three members' files, a, b and c."""
    for oof in noisy_members([0.3, 1.0, 2.0]):
        write_oof(oof, tmp_path / f"{oof.name}.parquet")
    return CommandLine(tmp_path, monkeypatch, capsys)


def rows_of(output: str) -> dict[str, list[str]]:
    cells = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in output.splitlines() if "│" in line]
    return {name: rest for name, *rest in cells}


def test_it_prints_the_scores_and_keeps_the_blend(command: CommandLine) -> None:
    output = command("ensemble", "trio", "--oof", "a.parquet", "b.parquet", "c.parquet", "--method", "nelder-mead")
    folder = command.folder / "mlruns" / "ensembles" / "trio"
    blended, record = read_oof(folder / "trio.parquet"), json.loads((folder / "trio.json").read_text())
    assert "trio: nelder-mead in probabilities of 3 members; 180 rows of 60 patients, 3 folds" in output
    assert "fit without its fold" in output
    rows = rows_of(output)
    assert {"a", "b", "c", "plain mean", "trio"} <= rows.keys()
    value = kl(blended.targets, blended.probabilities)
    assert record["scores"]["blend"]["all"]["value"] == pytest.approx(value)
    assert rows["trio"][0].startswith(f"{value:.4f} [")
    assert "blend against plain mean, all: -" in output
    assert ", better (better in 100% of draws)" in output
    assert "to" in rows["c"][-1]
    assert [weight["name"] for weight in record["weights"]] == ["a", "b", "c"]
    assert sum(record["blend"]["weights"]) == pytest.approx(1)
    assert record["members"] == ["a", "b", "c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("blend", "--oof", "a.parquet", "--oof", "b.parquet", "--oof", "c.parquet"),
        ("--oof", "a.parquet", "b.parquet", "c.parquet"),
        ("blend", "a.parquet", "b.parquet", "c.parquet"),
    ],
)
@pytest.mark.parametrize("weights", [("--weights", ".25,.42,.33"), ("--weights", "25", "--weights=42", "--weights=33")])
def test_files_and_weights_may_be_listed_or_repeated(
    command: CommandLine, arguments: tuple[str, ...], weights: tuple[str, ...]
) -> None:
    output = command("ensemble", *arguments, "--method", "weighted", *weights, "-o", "out/mine.parquet")
    members = [read_oof(command.folder / f"{name}.parquet").probabilities for name in "abc"]
    expected = np.tensordot([0.25, 0.42, 0.33], np.array(members), axes=1)
    blended = read_oof(command.folder / "out" / "mine.parquet")
    np.testing.assert_allclose(blended.probabilities, expected, rtol=0, atol=1e-12)
    assert rows_of(output)["b"] == ["0.4200"]


def test_stacking_keeps_its_network(command: CommandLine) -> None:
    small = noisy_members(n_patients=6)
    for oof in small:
        write_oof(oof, command.folder / f"{oof.name}.parquet")
    command("ensemble", "deep", "--oof", "a.parquet", "b.parquet", "--method", "stacking")
    folder = command.folder / "mlruns" / "ensembles" / "deep"
    record = json.loads((folder / "deep.json").read_text())
    blend = FittedBlend(StackingBlend.model_validate(record["blend"]), load_file(folder / "deep.safetensors"))
    blended = blend.apply(np.stack([oof.probabilities for oof in small[:2]]))
    np.testing.assert_allclose(blended.sum(axis=1), 1)


def test_a_users_csv_is_blended_with_the_help_of_the_labels(command: CommandLine) -> None:
    oof = read_oof(command.folder / "a.parquet")
    mine = pd.DataFrame({"eeg_id": oof.samples["sample_id"], "fold": oof.folds})
    mine.assign(**{name: oof.probabilities[:, i] for i, name in enumerate(CLASSES)}).to_csv("mine.csv", index=False)
    command("ensemble", "--oof", "mine.csv", code=2)
    labels = pd.DataFrame(
        {"eeg_id": oof.samples["sample_id"], "patient_id": oof.patients}
        | {name: (oof.targets[:, i] * 12).round().astype(int) for i, name in enumerate(VOTE_COLUMNS)}
    )
    labels.to_csv("train.csv", index=False)
    output = command("ensemble", "--oof", "mine.csv", "--labels", "train.csv")
    assert rows_of(output)["mine"][0].startswith(f"{kl(oof.targets, oof.probabilities):.4f}")


def test_members_of_the_same_file_name_are_told_apart(command: CommandLine) -> None:
    (command.folder / "other").mkdir()
    write_oof(noisy_members()[1], command.folder / "other" / "a.parquet")
    rows = rows_of(command("ensemble", "--oof", "a.parquet", "other/a.parquet"))
    assert {"a.parquet", "other/a.parquet"} <= rows.keys()


def leaking_folds(folder: Path) -> None:
    table = pd.read_parquet(folder / "b.parquet")
    table.loc[0, "fold"] += 1
    table.to_parquet(folder / "b.parquet")


@pytest.mark.parametrize(
    ("arguments", "prepare", "message"),
    [
        (("x", "--oof", "a.parquet", "none.parquet"), None, "no file none.parquet"),
        (("x", "--oof", "a.parquet", "b.parquet"), leaking_folds, "member b has 1 patients in more than one fold"),
        (("x", "--oof", "a.parquet", "a.parquet"), None, "different names, found a.parquet more than once"),
        (("x",), None, "nothing to blend: give --members MODEL..., or --oof FILE..."),
        (("x/y", "--oof", "a.parquet"), None, "expected a name of letters"),
        (("x", "--oof", "a.parquet", "-o", "x.csv"), None, "-o expects a .parquet file, found x.csv"),
        (("x", "--oof", "a.parquet", "--weights", "1"), None, "--weights: method.weights: unknown key 'weights'"),
        (("x", "--oof", "a.parquet", "--method", "weighted"), None, "--method weighted needs --weights"),
        (("x", "--oof", "a.parquet", "--method", "weighted", "--weights", "1;2"), None, "found '1;2'"),
        (("x", "--oof", "a.parquet", "--method", "weighted", "--weights", "1,2"), None, "2 weights for 1 members"),
        (("x", "--oof", "a.parquet", "--method", "linear", "--space", "logits"), None, "unknown key 'space'"),
    ],
)
def test_what_cannot_be_blended_is_one_clear_line(
    command: CommandLine, arguments: tuple[str, ...], prepare: Callable[[Path], None] | None, message: str
) -> None:
    if prepare is not None:
        prepare(command.folder)
    output = command("ensemble", *arguments, code=2)
    assert output.startswith("error: ")
    assert message in output
    assert len(output.strip().splitlines()) == 1
    assert not (command.folder / "mlruns").exists()
