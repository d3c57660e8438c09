"""What the page's controls do: from what a person chose to what the page shows."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from hms_search.data.progress import Progress
from hms_search.errors import DataError
from hms_search.web.answers import Answer, Outcome, Respondent
from hms_search.web.drawing import PAGE_S, draw_eeg, draw_timeline, png
from hms_search.web.example import synthetic_example
from hms_search.web.heat_maps import draw_explanation
from hms_search.web.markup import download_html, picture_html, table_html
from hms_search.web.reading import Upload
from hms_search.web.table import csv_text, headers, table_rows

Outcomes = Sequence[Outcome]
Updates = tuple[Any, ...]


class Desk:
    """The page's actions on one model; the recordings of a tab are its own and come with every call."""

    def __init__(self, respondent: Respondent) -> None:
        self._respondent = respondent

    def predict(self, files: list[str] | None, progress: gr.Progress = gr.Progress()) -> Updates:  # noqa: B008
        """Return the answers to uploaded files, which are deleted, and what the page shows of them."""
        paths = [Path(file) for file in files or ()]

        def show(step: Progress) -> None:
            progress((step.done, step.total), desc="predicting", unit="windows")

        try:
            return self._answered(self._respondent.answers([Upload(path.name, path) for path in paths], show))
        except DataError as error:
            raise gr.Error(str(error), print_exception=False) from None
        finally:
            for path in paths:
                path.unlink(missing_ok=True)

    def example(self) -> Updates:
        """Return the answer to the synthetic recording, and what the page shows of it."""
        return self._answered((self._respondent.outcome(synthetic_example(self._respondent.predictor.kinds)),))

    def choose(self, outcomes: Outcomes, number: int) -> Updates:
        """Return the class and the positions to choose from in a recording, at first its middle."""
        answer = _chosen(outcomes, number)
        return answer.label, _positions(answer)

    def look(self, outcomes: Outcomes, number: int | None, class_name: str, position_s: float, member: int) -> Updates:
        """Return the pictures of a recording: the answers along it, what the class rests on, and the EEG."""
        if number is None:
            return "", "", ""
        answer = _chosen(outcomes, number)
        recorded = answer.recorded
        middle_s = position_s + PAGE_S / 2
        timeline = eeg = ""
        if len(recorded.cut.starts_s) > 1:
            timeline = picture_html(png(draw_timeline(answer, middle_s)), "class probabilities along the recording")
        if recorded.eeg is not None:
            page = png(draw_eeg(recorded.eeg.values, position_s))
            eeg = picture_html(page, f"EEG in the double banana, {position_s:g} to {position_s + PAGE_S:g} s")
        window = recorded.nearest(middle_s)
        explanation = self._respondent.explained(answer, class_name, window, member=member)
        words = f"the input of {explanation.network}, and what speaks for {class_name}"
        maps = png(draw_explanation(explanation, recorded.cut.where(window)))
        return timeline, picture_html(maps, words), eeg

    def _answered(self, outcomes: Outcomes) -> Updates:
        classes = self._respondent.predictor.classes
        choices = [(one.name, number) for number, one in enumerate(outcomes) if isinstance(one, Answer)]
        shown: Updates = (
            tuple(outcomes),
            table_html(headers(classes), table_rows(outcomes, classes)),
            download_html(csv_text(outcomes, classes), "hms-predictions.csv", "Download the table as CSV"),
            None,
            gr.Column(visible=bool(choices)),
        )
        if not choices:
            return *shown, gr.Dropdown(choices=[], value=None), gr.Dropdown(), gr.Slider()
        first = choices[0][1]
        answer = _chosen(outcomes, first)
        return *shown, gr.Dropdown(choices=choices, value=first), answer.label, _positions(answer)


def _chosen(outcomes: Outcomes, number: int) -> Answer:
    answer = outcomes[number] if number < len(outcomes) else None
    if not isinstance(answer, Answer):
        raise gr.Error("this recording is no longer kept; upload it again", print_exception=False)
    return answer


def _positions(answer: Answer) -> gr.Slider:
    """Return the beginnings of the pages; the first one shown is the middle, where the competition's labels are."""
    recorded = answer.recorded
    last_s = max(recorded.duration_s - PAGE_S, 0.0)
    middle_s = last_s / 2 // PAGE_S * PAGE_S
    several = last_s > 0 and (recorded.eeg is not None or len(recorded.cut.starts_s) > 1)
    return gr.Slider(maximum=max(last_s, PAGE_S), value=middle_s, interactive=several)
