"""Take the picture of the web app: ``PYTHONPATH=tests python docs/make_screenshots.py``.

A small model is trained on SYNTHETIC recordings, promoted and served, and a headless Chromium presses the example
button. Takes a few minutes; written to ``docs/pictures``.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from browser import Browser, chromium
from PIL import Image
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
      optimiser: {name: adamw, lr: 1.0e-3}
      scheduler: {name: one_cycle}
  parameters:
    model.dropout: {type: float, low: 0.0, high: 0.5}
    training.optimiser.lr: {type: float, low: 3.0e-4, high: 1.0e-2, log: true}
data: {root: synthetic, synthetic: {patients: 24, seed: 1}, sampling: {name: eeg_middle}}
folds: {name: grouped, n_folds: 2}
trials: 1
pruner: {name: none}
seed: 1
"""
HOST, WIDTH = "127.0.0.1", 1400


def main() -> None:
    """Train and serve an example, and take its picture."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "example.yaml").write_text(STUDY)
        hms_search(folder, "run", "example.yaml")
        hms_search(folder, "promote", "example", "--trial", "0", "--folds", "2", "--epochs", "4")
        (model,) = (folder / "mlruns" / "models").iterdir()
        port = free_port(HOST, 0, "the web app")
        with served_model(model, host=HOST, port=port) as server, chromium(folder / "chromium") as browser:
            if browser is None:
                raise SystemExit("no Chromium here: install Debian's packages chromium and chromium-driver")
            browser.open(server.address)
            browser.click("//*[@id='example']")
            browser.shows_image("#explanation img")
            browser.shows_image("#eeg img")
            take(browser, "app")


def hms_search(folder: Path, *arguments: str) -> None:
    """Run the command line in a folder."""
    subprocess.run([sys.executable, "-m", "hms_search", *arguments], cwd=folder, check=True)


def take(browser: Browser, name: str) -> None:
    """Write the whole page that the browser shows as a PNG of at most 256 colours."""
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)  # as it is laid out anew
    size["height"] = browser.driver.find_element(By.TAG_NAME, "body").size["height"]
    browser.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    time.sleep(1)
    file = PICTURES / f"{name}.png"
    browser.driver.save_screenshot(str(file))
    Image.open(file).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"written: {file}")


if __name__ == "__main__":
    main()
