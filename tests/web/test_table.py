import csv
import io

import numpy as np

from hms_search.data.labels import CLASSES
from hms_search.inference.predictor import Prediction
from hms_search.web.answers import Answer
from hms_search.web.example import synthetic_example
from hms_search.web.markup import table_html
from hms_search.web.recorded import Recorded, Refused
from hms_search.web.table import csv_columns, csv_text, headers, table_rows


def an_answer(name: str) -> Answer:
    """Two members and one window."""
    members = np.random.default_rng(0).dirichlet(np.ones(6), (2, 1))
    return Answer(
        Recorded(name, synthetic_example(frozenset({"eeg"})).parts), Prediction(members.mean(axis=0), members), CLASSES
    )


def test_a_row_shows_each_probability_and_how_far_the_members_disagree() -> None:
    answer = an_answer("7.edf")
    (row,) = table_rows([answer], CLASSES)
    cells = dict(zip(headers(CLASSES), row, strict=True))
    for number, name in enumerate(CLASSES):
        half = abs(np.subtract(*answer.prediction.members[:, 0, number])) / 2
        assert cells[name].split() == [f"{answer.probabilities[number]:.3f}", "±", f"{half:.3f}"]
    assert cells["answer"] == CLASSES[int(answer.probabilities.argmax())]
    assert cells["windows"] == "1"


def test_csv_has_the_numbers_and_the_reasons() -> None:
    answer = an_answer("7.edf")
    rows = list(csv.DictReader(io.StringIO(csv_text([answer, Refused("8.edf", "too short, cut")], CLASSES))))
    assert tuple(rows[0]) == csv_columns(CLASSES)
    shares = [float(rows[0][f"p_{name}"]) for name in CLASSES]
    np.testing.assert_allclose(shares, answer.probabilities, atol=5e-7)
    assert rows[0]["duration_s"] == "50"
    assert (rows[1]["recording"], rows[1]["error"], rows[1]["p_lpd"]) == ("8.edf", "too short, cut", "")


def test_no_name_becomes_a_formula_or_markup() -> None:
    refused = Refused('=1+1"<img src=x>.edf', "@bad")
    (row,) = list(csv.reader(io.StringIO(csv_text([refused], CLASSES))))[1:]
    assert row[0].startswith("'=")
    assert row[-1] == "'@bad"
    assert "<img" not in table_html(headers(CLASSES), table_rows([refused], CLASSES))
