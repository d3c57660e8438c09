from pathlib import Path

import gradio as gr
import pytest
from web_files import microvolts, write_parquet

from hms_search.inference.model_folder import open_model
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Answer, Respondent
from hms_search.web.card import INTENDED_USE, card_html
from hms_search.web.desk import Desk


def test_uploads_are_deleted_whatever_becomes_of_them(respondent: Respondent, tmp_path: Path) -> None:
    good = write_parquet(tmp_path / "good.parquet", "eeg", microvolts(50))
    bad = tmp_path / "bad.edf"
    bad.write_bytes(b"")
    outcomes, table, *_ = Desk(respondent).predict([str(good), str(bad)])
    assert isinstance(outcomes[0], Answer)
    assert "bad.edf" in table
    assert list(tmp_path.iterdir()) == []
    many = [str(write_parquet(tmp_path / f"{number}.parquet", "eeg", microvolts(50))) for number in range(33)]
    with pytest.raises(gr.Error, match="1 to 32 files"):
        Desk(respondent).predict(many)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["eeg", "spectrogram", "both"])
def test_the_example_shows_what_the_model_looks_at_and_says_that_it_is_synthetic(
    models: dict[str, Path], name: str
) -> None:
    desk = Desk(Respondent(Predictor.open(models[name], device="cpu")))
    outcomes, table, *_, class_name, _ = desk.example()
    assert "synthetic" in table
    timeline, explanation, eeg = desk.look(outcomes, 0, class_name, 20.0, 0)
    assert timeline == ""
    assert "data:image/png" in explanation
    assert bool(eeg) == (name != "spectrogram")


def test_a_recording_that_is_no_longer_kept_is_an_error_that_says_so(respondent: Respondent) -> None:
    with pytest.raises(gr.Error, match="upload it again"):
        Desk(respondent).look((), 0, "lpd", 0.0, 0)
    assert Desk(respondent).look((), None, "lpd", 0.0, 0) == ("", "", "")


def test_the_card_says_what_the_model_is_for_and_how_well_it_did(models: dict[str, Path]) -> None:
    html = card_html(open_model(models["spectrogram"]))
    for words in (INTENDED_USE, "trained on synthetic", "0.7100", "0.6500 to 0.7700", "not recorded", "test_resnet"):
        assert words in html
    both = card_html(open_model(models["both"]))
    assert "2 members" in both
    assert "log_mel" in both
