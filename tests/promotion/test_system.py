from pathlib import Path

import pytest

from hms_search.errors import ConfigError
from hms_search.promotion.system_file import read_system

ROOT = Path(__file__).parents[2]
STUDY = f"name: base\nspace: {ROOT / 'search_spaces' / 'effnet_b1.yaml'}\n"
SYSTEM = """\
name: pair
members:
  one: {study: base.yaml}
  two: {study: base.yaml, settings: {space.base.model.backbone: test_resnet}}
method: {name: weighted, weights: [0.4, 0.6]}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base.yaml").write_text(STUDY)
    (tmp_path / "pair.yaml").write_text(SYSTEM)
    return tmp_path


def test_a_system_is_read_from_a_file_or_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = read_system("pair.yaml")
    assert file.path == Path("pair.yaml")
    studies = file.studies(data="folder", settings=("trials=3",))
    assert [study.space.base.model.backbone for study in studies.values()] == ["efficientnet_b1", "test_resnet"]
    assert {(study.data.root, study.trials) for study in studies.values()} == {("folder", 3)}
    monkeypatch.chdir(ROOT)
    assert {read_system(name).system.name for name in ("baseline", "radboud", "silver98", "place15")} == {
        "baseline",
        "radboud",
        "silver98",
        "place15",
    }


def test_an_unknown_name_lists_the_systems_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(
        ConfigError,
        match=r"no system 'place1': .* in this folder holds baseline, place15, radboud, silver98; .* YAML file",
    ):
        read_system("place1")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "space.base.model.backbone: test_resnet",
            "space.base.model.bakbone: x",
            r"^pair\.yaml:4: space\.base\.model\.bakbone: unknown key 'bakbone'",
        ),
        (
            "space.base.model.backbone: test_resnet",
            "space.base.model.backbone: crossvit_tiny_240",
            r"^pair\.yaml:4: member two: .*effnet_b1\.yaml:\d+: space\.base\.model: crossvit_tiny_240 cannot look",
        ),
        (
            "  two: {study: base.yaml",
            "  two: {study: other.yaml",
            r"^pair\.yaml:4: members\.two\.study: no such file: other",
        ),
        ("method:", "metod:", r"pair\.yaml:5: metod: unknown key 'metod'; did you mean 'method'"),
        ("weights: [0.4, 0.6]", "weights: [-1, 0.6]", r"pair\.yaml:5: method\.weights\.0"),
    ],
)
def test_a_fault_in_a_system_or_in_a_members_study_is_named_before_anything_is_trained(
    folder: Path, old: str, new: str, message: str
) -> None:
    (folder / "pair.yaml").write_text(SYSTEM.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        read_system("pair.yaml").studies()


def test_the_faults_of_all_members_are_named_at_once(folder: Path) -> None:
    wrong = SYSTEM.replace("one: {study: base.yaml}", "one: {study: one.yaml}").replace("test_resnet", "test_rasnet")
    (folder / "pair.yaml").write_text(wrong)
    with pytest.raises(ConfigError) as error:
        read_system("pair.yaml").studies(settings=("trils=3",))
    first, second, third = str(error.value).splitlines()
    assert first.startswith("pair.yaml:3: members.one.study: no such file")
    assert second.startswith("pair.yaml:4: space.base.model.backbone: expected the name of a timm network")
    assert third.startswith("--set trils: trils: unknown key")


def test_the_15th_places_eight_configurations_differ_in_backbone_transform_and_blocks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(ROOT)
    system = read_system("place15").system
    assert len(system.members) == 8
    assert system.tta == "flips"
    settings = [
        tuple(sorted((path, str(value)) for path, value in one.settings.items())) for one in system.members.values()
    ]
    assert len(set(settings)) == 8


@pytest.mark.parametrize("name", ["../evil", "a/b", ".hidden", "''"])
def test_members_cannot_be_named_out_of_the_folder_of_models(folder: Path, name: str) -> None:
    (folder / "pair.yaml").write_text(SYSTEM.replace("  one:", f"  {name}:"))
    with pytest.raises(ConfigError, match=r"pair\.yaml:\d: members\..*pattern"):
        read_system("pair.yaml")
