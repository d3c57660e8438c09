"""What ``hms-search data`` prints."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from hms_search.cli.progress import duration
from hms_search.component import Component
from hms_search.data.check import CheckReport
from hms_search.data.fitting import fit_pipeline
from hms_search.data.hms import ELECTRODES, REGIONS, Kind, kind_of, middle_of, read_eeg, read_spectrogram, to_microvolts
from hms_search.data.prepare import PrepareReport
from hms_search.data.store import Store
from hms_search.data.synthetic import SyntheticReport
from hms_search.data.synthetic.seizure_types import SyntheticSeizures
from hms_search.document import Document, parse_yaml, read_yaml
from hms_search.eeg.both_pipeline import BothPipeline, FittedBothPipeline
from hms_search.eeg.fft_pipeline import FftPipeline, FittedFftPipeline
from hms_search.eeg.histogram import count_log_power, log_power
from hms_search.eeg.normalise import Datawide
from hms_search.eeg.pipelines import Pipeline
from hms_search.errors import ConfigError, DataError

_STYLES = {"error": "red", "warning": "yellow", "note": "dim"}
_SHOWN = 20


def print_findings(report: CheckReport) -> int:
    """Print a check's findings, errors first; return the exit code, 2 where there is an error."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    for finding in report.findings:
        console.print(
            f"{finding.severity}: {finding.where}: {finding.message}", style=_STYLES[finding.severity], markup=False
        )
    counts = {kind: sum(f.severity == kind for f in report.findings) for kind in _STYLES}
    console.print(", ".join(f"{count} {kind}{'' if count == 1 else 's'}" for kind, count in counts.items()))
    return 2 if counts["error"] else 0


def print_prepared(report: PrepareReport, samples: Store | None = None) -> None:
    """Print what is in a Store and what was refused; and what is baked of some samples."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    kinds = ", ".join(f"{count} {kind} recordings" for kind, count in report.n_recordings.items())
    state = "was already fresh" if report.was_fresh else f"written in {duration(report.seconds)}"
    console.print(f"Store {report.store} {state}: {report.n_rows} rows, {kinds}")
    if report.reused_shards:
        console.print(f"{report.reused_shards} shards of an interrupted run were taken over")
    for rejection in report.rejected[:_SHOWN]:
        console.print(f"rejected {rejection.kind} {rejection.id}: {rejection.reason}", style="yellow", markup=False)
    if len(report.rejected) > _SHOWN:
        console.print(f"{len(report.rejected) - _SHOWN} more in {report.store / 'rejected.csv'}", style="yellow")
    if samples is not None and samples.baked is not None:
        what = samples.baked
        console.print(
            f"baked: {len(samples)} images {what.shape} of {what.representation.name} on montage {what.montage.name}"
        )


def print_synthetic(report: SyntheticReport, folder: Path) -> None:
    """Print what a synthetic data set holds."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    console.print(
        f"{folder}: SYNTHETIC data (seed {report.seed}) of {report.n_patients} patients: {report.eegs} EEGs, "
        f"{report.spectrograms} spectrograms, {report.rows} rows of votes, {report.tests} test recordings"
        + ("" if report.written else "; it was there already"),
        markup=False,
    )


def print_synthetic_seizures(report: SyntheticSeizures) -> None:
    """Print what a synthetic set of seizures holds."""
    console = Console(highlight=False, soft_wrap=True, emoji=False)
    state = "written" if report.written else "already there"
    what = f"{report.files} files of {report.n_patients} patients, seed {report.seed}, {state}"
    console.print(f"{report.root}: SYNTHETIC seizures, {what}", markup=False)


def print_file(file: Path) -> None:
    """Print shape and statistics of a recording, by region or by electrode."""
    kind, values = _read(file)
    groups: Iterable[tuple[str, np.ndarray]]
    if kind == "spectrogram":
        groups = [(region, values[:, 100 * i : 100 * (i + 1)]) for i, region in enumerate(REGIONS)]
    else:
        groups = [(electrode, values[:, i]) for i, electrode in enumerate(ELECTRODES)]
    console = Console(highlight=False, emoji=False)
    length = values.shape[0] * 2 if kind == "spectrogram" else values.shape[0] / 200
    unit = "power" if kind == "spectrogram" else "µV"
    console.print(f"{file}: {kind}, {values.shape[0]} x {values.shape[1]}, {length:g} s, values in {unit}")
    console.print(_statistics_table("region" if kind == "spectrogram" else "electrode", groups))


def print_steps(file: Path, space: Path | None, settings: tuple[str, ...]) -> None:
    """Print shape, mean, std, min and max of a recording after each step of a pipeline."""
    kind, values = _read(file)
    pipeline = _pipeline(space, settings, kind)
    if isinstance(pipeline, BothPipeline):
        pipeline = pipeline.eeg if kind == "eeg" else pipeline.spectrogram
    if isinstance(pipeline, FftPipeline) or pipeline.kinds != (kind,):
        raise ConfigError(
            f"{file} is an {kind} file, the pipeline's source is {pipeline.source}; give a file of that kind"
        )
    console = Console(highlight=False, emoji=False)
    if isinstance(pipeline.normalise, Datawide):
        console.print("datawide statistics are this file's own here; a study takes them from its training folds")
    recording = log_power(values) if kind == "spectrogram" else middle_of(to_microvolts(values))
    one = _OneRecording(kind, recording)
    fitted = fit_pipeline(pipeline, one, np.zeros(1, dtype=np.int64), device=torch.device("cpu"))
    assert not isinstance(fitted, FittedBothPipeline | FittedFftPipeline)
    rows = fitted.steps(torch.from_numpy(recording)[None])
    console.print(_statistics_table("step", ((name, x[0].float().numpy()) for name, x in rows), shapes=True))


class PipelineChoice(Component):
    """A pipeline of any source, as a file or the command line writes it."""

    pipeline: Pipeline


@dataclass(frozen=True)
class _OneRecording:
    """What fitting a pipeline reads of a Store, for a single recording."""

    kind: Kind
    values: np.ndarray

    def recording(self, _row: int) -> dict[Kind, np.ndarray]:
        return {self.kind: self.values}

    def histograms(self) -> np.ndarray:
        return count_log_power(self.values)[None]


def _pipeline(space: Path | None, settings: tuple[str, ...], kind: Kind) -> Pipeline:
    if space is None:
        document = parse_yaml(f"source: {kind}", source="pipeline")
    else:
        content = read_yaml(space)
        try:
            document = Document(content.content["base"]["pipeline"], {(): content.place(("base", "pipeline"))})
        except (KeyError, TypeError):
            raise ConfigError(f"{space}: no base.pipeline; give a search space's file") from None
    for setting in settings:
        document = document.with_setting(setting)
    places = {("pipeline", *path): place for path, place in document.places.items()}
    return PipelineChoice.from_document(Document({"pipeline": document.content}, places)).pipeline


def _read(file: Path) -> tuple[Kind, np.ndarray]:
    if not file.is_file():
        raise DataError(f"no such file: {file}")
    kind = kind_of(file)
    return kind, read_eeg(file) if kind == "eeg" else read_spectrogram(file)


def _statistics_table(label: str, groups: Iterable[tuple[str, np.ndarray]], *, shapes: bool = False) -> Table:
    table = Table(pad_edge=False)
    table.add_column(label, no_wrap=True)
    for name in (*(("shape",) if shapes else ()), "mean", "std", "min", "max", "NaN", "inf"):
        table.add_column(name, justify="right", no_wrap=True)
    for name, values in groups:
        finite = values[np.isfinite(values)].astype(np.float64)
        numbers = [finite.mean(), finite.std(), finite.min(), finite.max()] if finite.size else [np.nan] * 4
        shape = (" x ".join(map(str, values.shape)),) if shapes else ()
        counts = (int(np.isnan(values).sum()), int(np.isinf(values).sum()))
        table.add_row(name, *shape, *(f"{number:.5g}" for number in numbers), *map(str, counts))
    return table
