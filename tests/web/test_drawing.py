import numpy as np
import pytest
from web_files import microvolts

from hms_search.data.edf import LoadedRecording
from hms_search.data.hms import ELECTRODES, to_microvolts
from hms_search.eeg.montage import Bipolar
from hms_search.web.answers import Answer, Respondent
from hms_search.web.drawing import MM_PER_S, PAGE_S, UV_PER_MM, draw_eeg, draw_timeline, png
from hms_search.web.heat_maps import draw_explanation
from hms_search.web.recorded import Recorded

DERIVATIONS = Bipolar(name="double_banana").derivations
MM = 25.4


def answered(respondent: Respondent, seconds: int) -> Answer:
    loaded = LoadedRecording("eeg", to_microvolts(microvolts(seconds)), ELECTRODES)
    outcome = respondent.outcome(Recorded("synthetic", {"eeg": loaded}))
    assert isinstance(outcome, Answer)
    return outcome


def test_a_sine_of_50_microvolts_is_5_millimetres_high_and_negative_is_up() -> None:
    seconds = np.arange(50 * 200) / 200
    eeg = np.zeros((len(seconds), 20))
    eeg[:, ELECTRODES.index("Fp1")] = 50 * np.sin(2 * np.pi * 10 * seconds)
    figure = draw_eeg(eeg, 20.0)
    (axes,) = figure.axes
    drawn = {name: line.get_ydata() for name, line in zip(DERIVATIONS, axes.lines, strict=False)}
    assert [text.get_text() for text in axes.get_yticklabels()] == [*DERIVATIONS, "EKG (own scale)"]
    offset = axes.get_yticks()[DERIVATIONS.index("Fp1-F7")]
    inches = figure.get_size_inches() * axes.get_position().size
    mm_per_uv = inches[1] * MM / np.ptp(axes.get_ylim())
    assert inches[0] * MM / PAGE_S == pytest.approx(MM_PER_S)
    assert mm_per_uv == pytest.approx(1 / UV_PER_MM)
    trace = np.asarray(drawn["Fp1-F7"]) - offset
    assert np.abs(trace).max() * mm_per_uv == pytest.approx(5, rel=0.02)
    rising = np.asarray(eeg[4000:6000, ELECTRODES.index("Fp1")])
    assert np.corrcoef(trace, rising)[0, 1] < -0.99
    assert np.abs(np.asarray(drawn["F8-T4"]) - np.asarray(drawn["F8-T4"])[0]).max() < 1e-3


def test_the_ekg_is_drawn_positive_up_to_a_height_of_its_own_or_not_at_all() -> None:
    eeg = microvolts(50)
    beats = np.where(np.arange(len(eeg)) % 200 < 10, 4000.0, 0.0)
    eeg[:, ELECTRODES.index("EKG")] = beats
    (axes,) = draw_eeg(eeg, 20.0).axes
    drawn = np.asarray(axes.lines[len(DERIVATIONS)].get_ydata()) - axes.get_yticks()[-1]
    assert np.abs(drawn).max() == pytest.approx(10 * UV_PER_MM)
    assert np.corrcoef(drawn, beats[4000:6000])[0, 1] > 0.5
    eeg[:, ELECTRODES.index("EKG")] = np.nan
    assert len(draw_eeg(eeg, 20.0).axes[0].get_yticks()) == len(DERIVATIONS)


def test_what_is_missing_is_left_out_of_the_drawing() -> None:
    eeg = microvolts(50)
    eeg[4200:4400, ELECTRODES.index("T3")] = np.nan
    (axes,) = draw_eeg(eeg, 20.0).axes
    gaps = {name: np.isnan(np.asarray(line.get_ydata())) for name, line in zip(DERIVATIONS, axes.lines, strict=False)}
    for name, gap in gaps.items():
        assert np.flatnonzero(gap).tolist() == (list(range(200, 400)) if "T3" in name.split("-") else [])


def test_the_last_page_of_a_recording_ends_where_it_ends() -> None:
    (axes,) = draw_eeg(microvolts(33), 30.0).axes
    assert axes.lines[0].get_xdata()[[0, -1]].tolist() == [30.0, 32.995]
    assert axes.get_xlim() == (30.0, 40.0)


def test_the_timeline_shows_each_class_at_the_middle_of_each_window(respondent: Respondent) -> None:
    answer = answered(respondent, 80)
    (axes,) = draw_timeline(answer, 30.0).axes
    for line, shares in zip(axes.lines, answer.prediction.probabilities.T, strict=False):
        assert np.asarray(line.get_xdata()).tolist() == [25, 35, 45, 55]
        np.testing.assert_array_equal(line.get_ydata(), shares)


def test_the_heat_maps_have_the_axes_of_the_input_and_the_values_of_the_network(respondent: Respondent) -> None:
    answer = answered(respondent, 50)
    explanation = respondent.explained(answer, answer.label, 0, member=1)
    figure = draw_explanation(explanation, answer.recorded.cut.where(0))
    seen, spoken = figure.axes[0], figure.axes[1]
    (panel,) = explanation.panels
    for axes in (seen, spoken):
        assert [text.get_text() for text in axes.get_yticklabels()] == [text for _, text in panel.rows.ticks]
        assert [text.get_text() for text in axes.get_xticklabels()] == [text for _, text in panel.columns.ticks]
        assert all(text.get_text().endswith(" s") for text in axes.get_xticklabels())
        assert axes.images[0].get_extent()[1] == explanation.map.shape[1]
    np.testing.assert_array_equal(spoken.images[0].get_array(), explanation.map)
    assert figure.get_suptitle().startswith("0 to 50 s of the recording")
    assert answer.label in figure.get_suptitle()
    assert png(figure).startswith(b"\x89PNG")
