"""The page: upload, table, and beside the EEG what the model looked at."""

from collections.abc import Mapping

import gradio as gr

from hms_search.data.labels import TaskName
from hms_search.web.answers import Respondent
from hms_search.web.card import INTENDED_USE
from hms_search.web.desk import Desk
from hms_search.web.drawing import PAGE_S
from hms_search.web.limits import MIB

THEME = gr.themes.Base(font=("system-ui", "sans-serif"), font_mono=("ui-monospace", "monospace"))
"""Of fonts that every computer has: nothing is to be downloaded."""
_KEPT_S = 15 * 60
"""How long a tab's recordings stay in memory, so that class and page can be changed."""
_SWEPT_S = (60, _KEPT_S)
"""How often, and from which age on, files are deleted that were uploaded but never predicted."""
_HEADINGS: Mapping[TaskName, str] = {
    "hms": "# Harmful brain activity in EEG",
    "seizure_types": "# Types of seizures in EEG\nThe model knows seizures only: it says of which type one is, not "
    "whether there is one. Send recordings that are cut to a seizure.\n",
}
_CLASSES: Mapping[TaskName, str] = {
    "hms": "lpd, gpd: lateralised, generalised periodic discharges; lrda, grda: lateralised, generalised rhythmic "
    "delta activity; other: none of these.",
    "seizure_types": "ABSZ absence, CPSZ complex partial, FNSZ focal non-specific, GNSZ generalised non-specific, SPSZ "
    "simple partial, TCSZ tonic-clonic, TNSZ tonic, MYSZ myoclonic.",
}
_WORDS = (
    "**Probability ± spread**: the mean over the recording's windows, and the standard deviation over the model's "
    "members. A model that disagrees with itself should not be believed; one that agrees may still be wrong."
)


def build_page(respondent: Respondent, card: str) -> gr.Blocks:
    """Return the page of a model; ``card`` is its model card as HTML."""
    desk = Desk(respondent)
    title = f"hms-search: {respondent.predictor.card.name}"
    page = gr.Blocks(title=title, analytics_enabled=False, delete_cache=_SWEPT_S, fill_width=True)
    with page:
        outcomes = gr.State((), time_to_live=_KEPT_S)
        gr.Markdown(f"{_HEADINGS[respondent.predictor.task]}\n**{INTENDED_USE}**")
        with gr.Row():
            files = gr.File(label=_accepted(respondent), file_count="multiple", height=180, scale=3, elem_id="files")
            with gr.Column():
                predict = gr.Button("Predict", variant="primary", elem_id="predict")
                example = gr.Button("Try a synthetic example", elem_id="example")
                download = gr.HTML(elem_id="download")
        table = gr.HTML(elem_id="table")
        with gr.Column(visible=False) as details:
            gr.Markdown(f"{_CLASSES[respondent.predictor.task]}\n\n{_WORDS}")
            with gr.Row():
                recording = gr.Dropdown([], label="Recording", elem_id="recording")
                class_name = gr.Dropdown(
                    list(respondent.predictor.classes), label="Class to explain", filterable=False, elem_id="class"
                )
                members = [
                    (f"{number + 1} of {respondent.n_members}", number) for number in range(respondent.n_members)
                ]
                member = gr.Dropdown(members, value=0, label="Network or member", filterable=False, elem_id="member")
                position = gr.Slider(0, PAGE_S, 0, step=PAGE_S, label="Position (s)", elem_id="position")
            pictures = [gr.HTML(elem_id=name) for name in ("timeline", "explanation", "eeg")]
        with gr.Accordion("Model card", open=False, elem_id="card"):
            gr.HTML(card)

        answered = [outcomes, table, download, files, details, recording, class_name, position]
        place = [outcomes, recording, class_name, position, member]
        # programs have an endpoint of their own, so Gradio's names nothing of this page
        for event in (
            predict.click(desk.predict, files, answered, show_progress_on=table, api_visibility="private"),
            example.click(desk.example, None, answered, show_progress_on=table, api_visibility="private"),
            recording.input(desk.choose, [outcomes, recording], [class_name, position], api_visibility="private"),
        ):
            event.then(desk.look, place, pictures, api_visibility="private")
        for moved in (class_name.input, position.input, member.input):
            moved(desk.look, place, pictures, trigger_mode="always_last", api_visibility="private")
    return page


def _accepted(respondent: Respondent) -> str:
    """Return what the model takes, in words."""
    kinds, limits = respondent.predictor.kinds, respondent.limits
    accepted = {
        "eeg": "EEG (HMS parquet, EDF, BDF, .npy of microvolts [samples, 20] at 200 Hz)",
        "spectrogram": "spectrograms (HMS parquet)",
        "fft": "seizures: EEG (EDF, BDF, HMS parquet), or .npy or .npz of FFT samples [samples, 20, 24]",
    }
    pairs = "; pairs called alike, as 7_eeg and 7_spectrogram, or with their test.csv" if len(kinds) > 1 else ""
    most = f"at most {limits.files} files, {limits.file_bytes // MIB} MiB each"
    return f"{' and '.join(accepted[kind] for kind in sorted(kinds))}{pairs}; {most}"
