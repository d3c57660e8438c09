"""The web app for programs: ``POST /api/predict`` with files, described by ``/openapi.json``."""

import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from fastapi import APIRouter, File, HTTPException, UploadFile
from jaxtyping import Float
from pydantic import BaseModel, Field

from hms_search.data.labels import TaskName
from hms_search.errors import DataError
from hms_search.web.answers import Answer, Outcome, Respondent
from hms_search.web.reading import Upload

_LONGEST_NAME = 100
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")

Shares = dict[str, float]


class Window(BaseModel):
    """One window of a recording."""

    start_s: float = Field(description="Seconds from the beginning; negative where the window is longer.")
    probabilities: Shares


class RecordingAnswer(BaseModel):
    """What the model says of one recording, or why it says nothing."""

    recording: str
    error: str | None = Field(None, description="Why there is no answer; null where there is one.")
    answer: str | None = Field(None, description="The most probable class.")
    duration_s: float | None = Field(None, description="Null where the file does not say: FFT samples.")
    probabilities: Shares | None = Field(None, description="By class, the mean over the windows.")
    spread: Shares | None = Field(None, description="By class, the standard deviation over the model's members.")
    windows: list[Window] = []


class PredictResponse(BaseModel):
    """The answers to all recordings, in the order of the files."""

    model: str
    task: TaskName
    classes: list[str]
    intended_use: str
    recordings: list[RecordingAnswer]


def predict_router(respondent: Respondent, intended_use: str) -> APIRouter:
    """Return the route of the endpoint."""
    router = APIRouter(prefix="/api")

    @router.post("/predict", responses={422: {"description": "No files, or too many or too large ones."}})
    def predict(files: Annotated[list[UploadFile], File(description="Recordings.")]) -> PredictResponse:
        """Predict recordings; one that cannot be read is an error in its place, the others are answered."""
        try:
            outcomes = _outcomes(respondent, files)
        except DataError as error:
            raise HTTPException(422, str(error)) from None
        return PredictResponse(
            model=respondent.predictor.card.name,
            task=respondent.predictor.task,
            classes=list(respondent.predictor.classes),
            intended_use=intended_use,
            recordings=[_answer(outcome) for outcome in outcomes],
        )

    return router


def _outcomes(respondent: Respondent, files: Sequence[UploadFile]) -> tuple[Outcome, ...]:
    """Return the outcomes of files that lie in a folder of this request alone, under names of our own making."""
    respondent.limits.check_count(len(files))
    with tempfile.TemporaryDirectory(prefix="hms-search-") as folder:
        uploads = []
        for number, file in enumerate(files):
            name = file.filename or ""
            path = Path(folder) / str(number) / _safe(name)
            path.parent.mkdir()
            with path.open("xb") as target:
                shutil.copyfileobj(file.file, target)
            uploads.append(Upload(name, path))
        return respondent.answers(uploads)


def _safe(name: str) -> str:
    return _UNSAFE.sub("_", name)[-_LONGEST_NAME:].lstrip(".") or "unnamed"


def _answer(outcome: Outcome) -> RecordingAnswer:
    if not isinstance(outcome, Answer):
        return RecordingAnswer(recording=outcome.name, error=outcome.reason)
    classes, recorded = outcome.classes, outcome.recorded
    windows = zip(recorded.cut.starts_s, outcome.prediction.probabilities, strict=True)
    return RecordingAnswer(
        recording=outcome.name,
        answer=outcome.label,
        duration_s=recorded.duration_s or None,
        probabilities=_shares(classes, outcome.probabilities),
        spread=_shares(classes, outcome.spread),
        windows=[Window(start_s=start_s, probabilities=_shares(classes, row)) for start_s, row in windows],
    )


def _shares(classes: Sequence[str], values: Float[np.ndarray, " classes"]) -> Shares:
    return {name: float(value) for name, value in zip(classes, values, strict=True)}
