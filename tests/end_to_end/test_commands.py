"""The commands around the main job: data, validate, schema, ls, show."""

import json
from pathlib import Path

import jsonschema
import pandas as pd
import pytest
from command_line import CommandLine

from hms_search.cli.validate import schema_of
from hms_search.document import read_yaml

ROOT = Path(__file__).parents[2]


def test_data_check_passes_good_recordings_and_names_all_faults_of_bad_ones(
    hms_search: CommandLine, recordings: Path
) -> None:
    assert "0 errors" in hms_search("data", "check", "recordings")
    broken = hms_search.folder / "broken"
    for folder in ("train_eegs", "train_spectrograms"):
        (broken / folder).mkdir(parents=True)
        for file in (recordings / folder).iterdir():
            (broken / folder / file.name).symlink_to(file)
    table = pd.read_csv(recordings / "train.csv")
    table.loc[0, "expert_consensus"] = "Lpd"
    table.to_csv(broken / "train.csv", index=False)
    first, second = sorted((broken / "train_eegs").iterdir())[:2]
    content = first.read_bytes()
    first.unlink()
    first.write_bytes(content[: len(content) // 2])
    frame = pd.read_parquet(second)
    second.unlink()
    frame[frame.columns[::-1]].to_parquet(second)
    output = hms_search("data", "check", "broken", code=2)
    for words in ("unreadable parquet", first.stem, "wrong column order", second.stem, "Lpd"):
        assert words in output


def test_data_prepare_writes_a_store_once(hms_search: CommandLine) -> None:
    assert "written in" in hms_search("data", "prepare", "recordings", "--out", "store")
    assert "was already fresh" in hms_search("data", "prepare", "recordings", "--out", "store")


def test_data_synthetic_says_that_it_is_synthetic(hms_search: CommandLine) -> None:
    output = hms_search("data", "synthetic", "made", "--patients", "4", "--seed", "1", "--workers", "1")
    assert "SYNTHETIC" in output
    assert (hms_search.folder / "made" / "train.csv").is_file()
    assert "SYNTHETIC" in (hms_search.folder / "made" / "SYNTHETIC.md").read_text()


@pytest.mark.parametrize("kind", ["eeg", "spectrogram"])
def test_data_show_prints_a_line_per_electrode_or_region(hms_search: CommandLine, recordings: Path, kind: str) -> None:
    output = hms_search("data", "show", str(next((recordings / f"train_{kind}s").iterdir())))
    assert "µV" in output if kind == "eeg" else "power" in output
    assert all(name in output for name in (("Fp1", "EKG") if kind == "eeg" else ("LL", "RL", "LP", "RP")))


@pytest.mark.data
def test_data_show_follows_a_file_through_the_pipeline(hms_search: CommandLine, shared_data: Path) -> None:
    file = shared_data / "iiic" / "train_spectrograms" / "800000025.parquet"
    output = hms_search("data", "show", str(file), "--steps", "--set", "resize=[128, 256]")
    rows = {cells[0]: cells[1:] for line in output.splitlines() if len(cells := _cells(line)) > 4}
    assert rows["clip"][0] == "1 x 300 x 400"
    assert [float(rows["clip"][i]) for i in (3, 4)] == [-6.0, pytest.approx(10, abs=5)]
    assert float(rows["normalise"][1]) == pytest.approx(0, abs=1e-4)
    assert float(rows["normalise"][2]) == pytest.approx(1, abs=1e-4)
    assert rows["resize"][0] == "1 x 128 x 256"


def test_data_show_takes_the_pipeline_of_a_space(hms_search: CommandLine, recordings: Path) -> None:
    file = next((recordings / "train_spectrograms").iterdir())
    space = str(ROOT / "search_spaces" / "effnet_b1_final.yaml")
    output = hms_search("data", "show", str(file), "--steps", "--space", space)
    assert "1 x 512 x 512" in output
    assert "datawide statistics are this file's own" in output


@pytest.mark.parametrize("arguments", [("data", "check", "x"), ("data", "prepare", "x"), ("data", "show", "x")])
def test_a_missing_folder_or_file_is_one_clear_line(hms_search: CommandLine, arguments: tuple[str, ...]) -> None:
    output = hms_search(*arguments, code=2)
    assert output.startswith("error: ")
    assert len(output.strip().splitlines()) == 1


def test_an_eeg_file_is_followed_through_its_own_pipeline_and_refused_by_another(
    hms_search: CommandLine, recordings: Path
) -> None:
    file = str(next((recordings / "train_eegs").iterdir()))
    steps = hms_search("data", "show", file, "--steps", "--space", str(ROOT / "search_spaces" / "silver98_logmel.yaml"))
    assert all(
        step in steps for step in ("microvolts", "band_pass", "notch", "montage", "representation", "1 x 576 x 256")
    )
    assert "4 x 128 x 256" in hms_search("data", "show", file, "--steps")
    other = str(ROOT / "search_spaces" / "effnet_b1.yaml")
    refused = hms_search("data", "show", file, "--steps", "--space", other, code=2)
    assert "is an eeg file, the pipeline's source is spectrogram" in refused


def test_validate_passes_what_is_shipped_and_lists_the_faults_of_every_file(hms_search: CommandLine) -> None:
    files = [str(file) for folder in ("studies", "search_spaces") for file in sorted((ROOT / folder).rglob("*.yaml"))]
    output = hms_search("validate", *files)
    assert output.count("a valid") == len(files)
    (hms_search.folder / "one.yaml").write_text("name: one\nspace: {name: x}\ntrails: 3\n")
    (hms_search.folder / "two.yaml").write_text("name: two\nname: three\n")
    output = hms_search("validate", "small.yaml", "one.yaml", "two.yaml", code=2)
    assert "small.yaml: a valid study" in output
    assert "one.yaml:3: trails: unknown key 'trails'; did you mean 'trials'?" in output
    assert "one.yaml:2: space.base: missing" in output
    assert "two.yaml:2: found duplicate key" in output


@pytest.mark.parametrize(
    ("kind", "folder"), [("study", "studies"), ("space", "search_spaces"), ("system", "studies/systems")]
)
def test_the_schema_accepts_what_is_shipped_and_refuses_a_misspelling(
    hms_search: CommandLine, kind: str, folder: str
) -> None:
    schema = json.loads(hms_search("schema", kind))
    assert schema == schema_of(kind)  # type: ignore[arg-type]
    validator = jsonschema.Draft202012Validator(schema)
    for file in sorted((ROOT / folder).glob("*.yaml")):
        content = read_yaml(file).content
        validator.validate(content)
        assert not validator.is_valid({**content, "trails": 3})


def test_ls_and_show_tell_when_there_is_nothing_yet(hms_search: CommandLine) -> None:
    assert "there are no studies yet" in hms_search("ls", code=2)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("│┃ ").split("│")]
