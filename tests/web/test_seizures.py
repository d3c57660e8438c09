"""The web app of a model of seizure types: FFT samples, or an EEG that they are made of."""

from collections.abc import Callable
from pathlib import Path

import edfio
import numpy as np
import pytest
from small_models import write_seizure_model
from starlette.testclient import TestClient
from web_files import microvolts, write_parquet

from hms_search.data.edf import read_edf
from hms_search.data.hms import ELECTRODES
from hms_search.data.labels import SEIZURE_TYPES
from hms_search.data.seizure_recordings import fft_samples
from hms_search.eeg.montage import Bipolar
from hms_search.inference.model_folder import open_model
from hms_search.inference.predictor import Predictor
from hms_search.web.answers import Answer, Respondent
from hms_search.web.app import build_endpoint
from hms_search.web.card import card_html
from hms_search.web.desk import Desk
from hms_search.web.example import synthetic_example
from hms_search.web.heat_maps import draw_explanation
from hms_search.web.reading import Upload, read_uploads
from hms_search.web.recorded import Recorded, Refused

Ask = Callable[..., list[dict[str, object]]]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_seizure_model(tmp_path_factory.mktemp("seizures") / "model")


@pytest.fixture(scope="module")
def seizures(model: Path) -> Respondent:
    return Respondent(Predictor.open(model, device="cpu"))


@pytest.fixture(scope="module")
def ask(seizures: Respondent) -> Ask:
    """Returns the endpoint's answers to files."""
    client = TestClient(build_endpoint(seizures), base_url="http://127.0.0.1")

    def answers(*paths: Path) -> list[dict[str, object]]:
        body = client.post("/api/predict", files=[("files", (path.name, path.read_bytes())) for path in paths]).json()
        assert (body["task"], body["classes"]) == ("seizure_types", list(SEIZURE_TYPES))
        recordings: list[dict[str, object]] = body["recordings"]
        return recordings

    return answers


def write_edf(path: Path, seconds: int) -> Path:
    columns = np.clip(microvolts(seconds).T.astype(float), -800, 800)
    settings = {"physical_dimension": "uV", "physical_range": (-800, 800)}
    named = zip(ELECTRODES, columns, strict=True)
    edfio.Edf([edfio.EdfSignal(column, 200, label=name, **settings) for name, column in named]).write(path)
    return path


def shares(answer: dict[str, object]) -> list[float]:
    assert answer["error"] is None
    found = answer["probabilities"]
    assert isinstance(found, dict)
    return list(found.values())


def test_samples_are_predicted_as_the_predictor_does(ask: Ask, seizures: Respondent, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(2, 0.5, (37, 20, 24)).astype(np.float32)
    np.save(tmp_path / "plain.npy", samples)
    np.savez_compressed(tmp_path / "packed.npz", samples)
    (expected,) = seizures.predictor.predict([samples]).probabilities
    for answer in ask(tmp_path / "plain.npy", tmp_path / "packed.npz"):
        np.testing.assert_allclose(shares(answer), expected, rtol=0, atol=1e-6)
        assert (answer["duration_s"], len(list(answer["windows"]))) == (None, 1)  # type: ignore[call-overload]


def test_an_edf_file_of_a_seizure_is_predicted_as_the_samples_cut_from_it(
    ask: Ask, seizures: Respondent, tmp_path: Path
) -> None:
    file = write_edf(tmp_path / "seizure.edf", 20)
    (expected,) = seizures.predictor.predict([fft_samples(read_edf(file, sfreq=250))]).probabilities
    np.testing.assert_allclose(shares(ask(file)[0]), expected, rtol=0, atol=1e-6)


def test_parquet_of_the_same_eeg_gives_nearly_the_same(ask: Ask, tmp_path: Path) -> None:
    edf = write_edf(tmp_path / "seizure.edf", 20)
    parquet = write_parquet(tmp_path / "seizure.parquet", "eeg", np.clip(microvolts(20), -800, 800))
    one, other = ask(edf, parquet)
    np.testing.assert_allclose(shares(one), shares(other), rtol=0, atol=0.02)


def test_a_long_recording_is_predicted_in_windows_of_30_seconds(seizures: Respondent, tmp_path: Path) -> None:
    file = write_edf(tmp_path / "long.edf", 84)
    (recorded,) = read_uploads([Upload("long.edf", file)], seizures.predictor.kinds, seizures.limits)
    assert isinstance(recorded, Recorded)
    assert recorded.samples is not None
    assert recorded.cut.starts_s == (0, 10, 20, 30, 40, 50, 54)
    assert recorded.cut.where(6) == "54 to 84 s of the recording"
    for number, start_s in enumerate(recorded.cut.starts_s):
        window = recorded.cut.window(number)["fft"]
        np.testing.assert_array_equal(window, recorded.samples[int(2 * start_s) :][:59])
        assert len(window) == 59
    outcome = seizures.outcome(recorded)
    assert isinstance(outcome, Answer)
    timeline, _, eeg = Desk(seizures).look((outcome,), 0, "ABSZ", 30.0, 0)
    assert "image/png" in timeline
    assert "image/png" in eeg


def test_an_eeg_with_gaps_and_one_that_is_too_short_are_refused(seizures: Respondent, tmp_path: Path) -> None:
    eeg = microvolts(20)
    eeg[1000:1100, ELECTRODES.index("T3")] = np.nan
    gaps = write_parquet(tmp_path / "gaps.parquet", "eeg", eeg)
    short = write_parquet(tmp_path / "short.parquet", "eeg", microvolts(1)[:150])
    power = write_parquet(tmp_path / "power.parquet", "spectrogram", np.ones((300, 400)))
    uploads = [Upload(path.name, path) for path in (gaps, short, power)]
    readings = read_uploads(uploads, seizures.predictor.kinds, seizures.limits)
    reasons = [reading.reason for reading in readings if isinstance(reading, Refused)]
    for reason, words in zip(
        reasons, ("without gaps, found some in", "a second or more", "found a spectr"), strict=True
    ):
        assert words in reason


def test_the_example_is_an_absence_with_its_own_heat_map(seizures: Respondent) -> None:
    outcomes, table, link, *_, class_name, _ = Desk(seizures).example()
    assert all(name in table for name in SEIZURE_TYPES)
    assert "synthetic" in table
    assert "text/csv" in link
    timeline, explanation, eeg = Desk(seizures).look(outcomes, 0, class_name, 0.0, 0)
    assert (timeline, eeg) == ("", "")
    assert "image/png" in explanation


def test_the_heat_map_shows_derivations_by_frequencies(seizures: Respondent) -> None:
    outcome = seizures.outcome(synthetic_example(frozenset({"fft"})))
    assert isinstance(outcome, Answer)
    explanation = seizures.explained(outcome, "ABSZ", 0)
    samples = outcome.recorded.samples
    assert samples is not None
    figure = draw_explanation(explanation, outcome.recorded.cut.where(0))
    seen, spoken, *_ = figure.axes
    for axes in (seen, spoken):
        assert [text.get_text() for text in axes.get_yticklabels()] == list(Bipolar(name="tuh20").derivations)
        assert all(text.get_text().endswith("Hz") for text in axes.get_xticklabels())
    np.testing.assert_allclose(seen.images[0].get_array(), samples.mean(axis=0), rtol=0, atol=1e-5)
    np.testing.assert_array_equal(spoken.images[0].get_array(), explanation.map)
    assert figure.get_suptitle().startswith(f"all {len(samples)} samples")


def test_the_card_says_the_score_by_file_and_by_patient(model: Path) -> None:
    html = card_html(open_model(model))
    for words in ("weighted F1", "by file", "0.6800", "by patient", "0.2600", "0.2000 to 0.3000", "higher is better"):
        assert words in html
