"""``hms-search report`` on a study that was really run: both files, MLflow's copies, and the page in a browser."""

import shutil
from pathlib import Path

import pytest
from browser import Browser
from command_line import CommandLine
from selenium.webdriver.support.ui import WebDriverWait

from hms_search.compare import paired_differences
from hms_search.data.oof import OutOfFold, read_oof
from hms_search.search.report import StudyReport, find_report
from hms_search.search.storage import open_existing_storage
from hms_search.tracking import RunReader
from hms_search.training.metrics import kl, kl_terms

PLOTS = """
return [...document.querySelectorAll(".js-plotly-plot")].map(plot => {
  const drawn = plot.querySelector(".main-svg").getBoundingClientRect();
  return [drawn.width, drawn.height, plot.querySelectorAll(".points path, .point path, .js-line").length];
});
"""


@pytest.fixture
def study(finished: Path, hms_search: CommandLine) -> StudyReport:
    """The finished study in the working directory of the command line."""
    shutil.copytree(finished / "mlruns", hms_search.folder / "mlruns")
    return find_report(open_existing_storage(f"sqlite:///{hms_search.folder}/mlruns/optuna.db"), "small")


def predictions(study: StudyReport, reader: RunReader, folder: Path) -> dict[int, OutOfFold]:
    """The out-of-fold predictions of every trial, from its run."""
    found = {}
    for row in study.rows:
        path = folder / f"{row.number}.parquet"
        path.write_bytes(reader.file(row.run_id, "oof.parquet"))
        found[row.number] = read_oof(path)
    return found


def test_every_completed_trial_keeps_the_predictions_behind_its_score(
    hms_search: CommandLine, study: StudyReport, tmp_path: Path
) -> None:
    reader = RunReader(f"sqlite:///{hms_search.folder}/mlruns/mlflow.db")
    kept = predictions(study, reader, tmp_path)
    assert len(kept) == 5
    for row in study.rows:
        oof = kept[row.number]
        assert kl(oof.targets, oof.probabilities) == pytest.approx(row.metrics["kl_all"], abs=1e-12)
        for fold, value in enumerate(row.folds):
            chosen = oof.folds == fold
            assert kl(oof.targets[chosen], oof.probabilities[chosen]) == pytest.approx(value, abs=1e-12)


def test_the_report_is_printed_written_and_kept_in_mlflow(
    hms_search: CommandLine, study: StudyReport, tmp_path: Path
) -> None:
    output = hms_search("report", "small")
    page, markdown = (hms_search.folder / "mlruns" / "reports" / f"small.{suffix}" for suffix in ("html", "md"))
    assert markdown.read_text() in output
    assert "written: mlruns/reports/small.html and mlruns/reports/small.md" in output
    reader = RunReader(f"sqlite:///{hms_search.folder}/mlruns/mlflow.db")
    run = reader.study_run("small")
    assert reader.file(run.id, "report.html") == page.read_bytes()
    assert reader.file(run.id, "report.md") == markdown.read_bytes()
    assert run.status == "FINISHED"
    assert run.tags["git_commit"] in markdown.read_text()
    best, baseline = study.best, study.baseline
    assert best is not None
    assert baseline is not None
    for row, title in ((best, "Optimised"), (baseline, "Original")):
        (line,) = (line for line in markdown.read_text().splitlines() if line.startswith(f"| {title} ("))
        assert f"(trial {row.number})" in line
        assert f"| {row.value:.4f} |" in line
    if best is not baseline:
        kept = predictions(study, reader, tmp_path)
        losses = [kl_terms(o.targets, o.probabilities).sum(axis=1) for o in (kept[best.number], kept[0])]
        expected = paired_differences(losses[0], losses[1], kept[0].patients, kept[0].high)["all"]
        assert f"| {expected.mean:+.4f} | [{expected.low:+.4f}, {expected.high:+.4f}] |" in markdown.read_text()


def test_the_report_needs_no_tracking_and_goes_where_it_is_told(hms_search: CommandLine, study: StudyReport) -> None:
    output = hms_search("report", "small", "-o", "deep/er/page.html", "--tracking-uri", "none")
    assert (hms_search.folder / "deep" / "er" / "page.html").is_file()
    assert (hms_search.folder / "deep" / "er" / "page.md").is_file()
    assert "| versions | not recorded |" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("large",), "no study 'large'; there are: small"),
        (("small", "-o", "page.pdf"), "ends in .html"),
        (("small", "--tracking-uri", "sqlite:///nowhere.db"), "there is no file nowhere.db"),
        (("small", "--storage", "sqlite:///nowhere.db"), "there are no studies yet"),
    ],
)
def test_what_cannot_be_reported_is_one_clear_line(
    hms_search: CommandLine, study: StudyReport, arguments: tuple[str, ...], words: str
) -> None:
    output = hms_search("report", *arguments, code=2)
    assert words in output
    assert len(output.strip().splitlines()) == 1
    assert not (hms_search.folder / "mlruns" / "reports").exists()


@pytest.mark.browser
def test_the_page_opens_offline_and_draws_every_plot(
    hms_search: CommandLine, study: StudyReport, browser: Browser
) -> None:
    captions = [line for line in hms_search("report", "small").splitlines() if line.startswith("- Plot: ")]
    browser.open((hms_search.folder / "mlruns" / "reports" / "small.html").as_uri())
    browser.sees("Study small", "Best against baseline", "Optimised (trial", "Original (trial", picture="report-top")
    WebDriverWait(browser.driver, 30, 0.2).until(
        lambda driver: len(driver.execute_script(PLOTS)) == len(captions), f"expected {len(captions)} plots"
    )
    browser.picture("report", width=1200)
    drawn = browser.driver.execute_script(PLOTS)
    assert all(width > 250 and height > 200 for width, height, _ in drawn)
    assert sum(marks > 0 for _, _, marks in drawn) == len(captions)
    browser.picture("report-phone", width=390)
    assert browser.driver.execute_script("return document.documentElement.scrollWidth") == 390
    assert browser.complaints == []
