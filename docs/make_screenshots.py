"""Take the pictures of what a person looks at: ``PYTHONPATH=tests python docs/make_screenshots.py``.

A small study is searched on SYNTHETIC recordings. Taken are its table in a terminal, its report, the
study in optuna-dashboard, its trials in the MLflow UI, and the web app of its baseline's model, whose example
button a headless Chromium presses. Takes some minutes; written to ``docs/pictures``.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from browser import Browser, chromium
from PIL import Image, ImageChops
from rich.console import Console
from rich.text import Text
from selenium.webdriver.common.by import By

from hms_search.cli.serve import served_model
from hms_search.servers import free_port

PICTURES = Path(__file__).parent / "pictures"
STUDY = """\
name: example
space:
  name: example
  base:
    pipeline:
      source: eeg
      montage: {name: double_banana}
      representation: {name: log_mel}
      normalise: {name: instance}
      resize: [128, 128]
    model: {name: timm, backbone: resnet10t, weights: none, dropout: 0.1}
    training:
      epochs: 3
      batch_size: 16
      optimiser: {name: adamw, lr: 5.0e-3}
      scheduler: {name: one_cycle}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
    training.optimiser.lr: {type: float, low: 3.0e-4, high: 1.0e-2, log: true}
data: {root: synthetic, synthetic: {patients: 24, seed: 1}, sampling: {name: eeg_middle}}
folds: {name: grouped, n_folds: 2}
trials: 14
sampler: {name: random}
pruner: {name: median, n_startup_trials: 3}
seed: 1
"""
HOST, WIDTH, COLUMNS = "127.0.0.1", 1400, 118


def main() -> None:
    """Search, promote and serve an example, and take the pictures."""
    with tempfile.TemporaryDirectory() as scratch, chromium(Path(scratch) / "chromium") as browser:
        if browser is None:
            raise SystemExit("no Chromium here: install Debian's packages chromium and chromium-driver")
        folder = Path(scratch)
        (folder / "example.yaml").write_text(STUDY)
        hms_search(folder, "run", "example.yaml")
        take_table(browser, folder)
        take_report(browser, folder)
        take_dashboards(browser, folder)
        take_app(browser, folder)


def take_table(browser: Browser, folder: Path) -> None:
    """Take what a terminal shows of the study."""
    shown = hms_search(folder, "show", "example", FORCE_COLOR="1", COLUMNS=str(COLUMNS))
    console = Console(record=True, width=COLUMNS, file=StringIO())
    console.print(Text.from_ansi(f"$ hms-search show example\n{shown}"))
    page = folder / "table.html"
    page.write_text(f"<body style='margin:0'>{console.export_svg(title='SYNTHETIC recordings')}</body>")
    browser.open(page.as_uri())
    take(browser, "table")


def take_report(browser: Browser, folder: Path) -> None:
    """Take the report's page."""
    hms_search(folder, "report", "example", "-o", "report.html")
    browser.open((folder / "report.html").as_uri())
    take(browser, "report", height=2600)


def take_dashboards(browser: Browser, folder: Path) -> None:
    """Take the study in optuna-dashboard, and its trials in the MLflow UI."""
    command = [sys.executable, "-m", "hms_search", "up", "--app-port", "0"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            printed = "".join(iter_until(process, "Ctrl-C"))
            mlflow, dashboard = (word for word in printed.split() if word.startswith("http://"))
            browser.open(f"{dashboard}/dashboard/studies/1")
            browser.sees("History", "Hyperparameter Importance", picture="optuna-study")
            take(browser, "optuna", height=1300)
            browser.open(mlflow)
            browser.click("//*[text()='Model training']")
            browser.click("//a[.='example']")
            browser.click("//a[.='study example']/ancestor::*[@role='gridcell']//button")
            browser.sees("trial 0", "trial 1", picture="mlflow-trials")
            take(browser, "mlflow", height=700)
        finally:
            process.send_signal(signal.SIGINT)


def take_app(browser: Browser, folder: Path) -> None:
    """Take the web app of the baseline's model, after its example."""
    hms_search(folder, "promote", "example", "--trial", "0", "--folds", "2", "--epochs", "4")
    (model,) = (folder / "mlruns" / "models").iterdir()
    with served_model(model, host=HOST, port=free_port(HOST, 0, "the web app")) as server:
        browser.open(server.address)
        browser.click("//*[@id='example']")
        browser.shows_image("#explanation img")
        browser.shows_image("#eeg img")
        take(browser, "app")


def iter_until(process: "subprocess.Popen[str]", word: str) -> Iterator[str]:
    """Give what a process prints, up to the line that has a word."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if word in line:
            return
    raise SystemExit(f"{process.args} ended before it said {word!r}")


def hms_search(folder: Path, *arguments: str, **environment: str) -> str:
    """Run the command line in a folder; return what it printed."""
    command = [sys.executable, "-m", "hms_search", *arguments]
    told = {**os.environ, **environment}
    return subprocess.run(command, cwd=folder, env=told, check=True, stdout=subprocess.PIPE, text=True).stdout


def take(browser: Browser, name: str, *, height: int | None = None) -> None:
    """Write the page that the browser shows, its first ``height`` pixels or all, as a PNG of at most 256 colours."""
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)  # as it is laid out anew
    size["height"] = height or browser.driver.find_element(By.TAG_NAME, "body").size["height"]
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    file = PICTURES / f"{name}.png"
    browser.driver.save_screenshot(str(file))
    picture = Image.open(file).convert("RGB")
    blank = Image.new("RGB", picture.size, picture.getpixel((0, picture.height - 1)))
    shown = ImageChops.difference(picture, blank).getbbox()
    if shown is not None:
        picture = picture.crop((0, 0, picture.width, shown[3]))  # without an empty end
    picture.quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"written: {file}")


if __name__ == "__main__":
    main()
