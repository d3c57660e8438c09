"""A model's web app as a person uses it, in a headless Chromium; the pictures are kept in ``test-artifacts``."""

import base64
import csv
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np
import pytest
from browser import Browser
from selenium.webdriver.common.by import By
from small_models import write_model, write_seizure_model
from web_files import microvolts, write_parquet
from web_server import serving

from hms_search.data.hms import read_log_power
from hms_search.data.labels import CLASSES, SEIZURE_TYPES
from hms_search.data.seizure_reading import read_seizure_samples
from hms_search.explain import grad_cam
from hms_search.inference.predictor import Prediction, Predictor
from hms_search.web.example import synthetic_example

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PASSWORD = "ada:lovelace"


@dataclass(frozen=True)
class Served:
    """``hms-search serve`` on a tiny model, and two recordings that it can read."""

    address: str
    model: Path
    recordings: tuple[Path, Path]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    model = write_model(folder / "model")
    power = np.exp(synthetic_example(frozenset({"spectrogram"})).parts["spectrogram"].values.astype(np.float32))
    first = write_parquet(folder / "7.parquet", "spectrogram", power)
    second = write_parquet(folder / "8.parquet", "spectrogram", power[::-1] * np.linspace(0.1, 10, 400))
    with serving(folder, model, "--auth", PASSWORD) as (address, _):
        yield Served(address, model, (first, second))


def picture(browser: Browser, name: str, *, other_than: str = "") -> str:
    """Wait for a picture that is another one; return its content."""
    for _ in range(300):
        found = browser.driver.find_elements(By.CSS_SELECTOR, f"#{name} img")
        source = found[0].get_attribute("src") if found else None
        if source and source != other_than:
            return source
        time.sleep(0.1)
    pytest.fail(f"no new picture of {name}; the page says: {browser.text}")


def choose(browser: Browser, control: str, option: str) -> None:
    browser.click(f"//*[@id='{control}']//input")
    browser.click(f"//ul[@role='listbox']//li[contains(., '{option}')]")


def asked_for(browser: Browser) -> set[str]:
    """Return the hosts of all requests of the browser since it was last asked."""
    messages = (json.loads(entry["message"])["message"] for entry in browser.driver.get_log("performance"))
    sent = [message["params"] for message in messages if message["method"] == "Network.requestWillBeSent"]
    addresses = [urlsplit(params["request"]["url"]) for params in sent]
    return {str(address.hostname) for address in addresses if address.scheme not in ("data", "blob", "about")}


def open_page(browser: Browser, address: str) -> None:
    """Open the page with its password."""
    headers = {"Authorization": "Basic " + base64.b64encode(PASSWORD.encode()).decode()}
    browser.driver.execute_cdp_cmd("Network.enable", {})
    browser.driver.execute_cdp_cmd("Network.setExtraHTTPHeaders", {"headers": headers})
    browser.open(address)


def check_csv(
    rows: list[dict[str, str]], names: list[str], prediction: Prediction, classes: Sequence[str] = CLASSES
) -> None:
    """Check a saved table against what the Predictor says of all its recordings but the last, which is bad."""
    assert [row["recording"] for row in rows] == names
    *good, bad = rows
    numbers = [[float(row[f"p_{name}"]) for name in classes] for row in good]
    np.testing.assert_allclose(numbers, prediction.probabilities, atol=1e-6)
    spreads = [[float(row[f"spread_{name}"]) for name in classes] for row in good]
    np.testing.assert_allclose(spreads, prediction.members.std(axis=0), atol=1e-6)
    assert bad["error"]
    assert {bad[f"p_{name}"] for name in classes} == {""}


def test_a_person_uploads_recordings_and_sees_what_the_model_says_and_looked_at(
    browser: Browser, served: Served, tmp_path: Path
) -> None:
    asked_for(browser)
    bad = tmp_path / "bad.parquet"
    bad.write_bytes(b"PAR1 and nothing else")
    saved = tmp_path / "downloads"
    browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)})
    open_page(browser, served.address)
    browser.sees("Predict", "not for diagnosis", picture="web-empty")
    upload = browser.driver.find_element(By.CSS_SELECTOR, "#files input[type=file]")
    upload.send_keys("\n".join(str(path) for path in (*served.recordings, bad)))
    browser.sees(*(path.stem for path in (*served.recordings, bad)), picture="web-uploaded")
    browser.click("//*[@id='predict']")

    first, second = served.recordings
    text = browser.sees(first.name, second.name, "bad.parquet", "Class to explain", picture="web-answers")
    assert "not a readable parquet file" in text
    predictor = Predictor.open(served.model)
    prediction = predictor.predict([read_log_power(first), read_log_power(second)])
    for row in prediction.probabilities:
        assert f"{row.max():.3f} ±" in text

    before = picture(browser, "explanation")
    recording = {"spectrogram": read_log_power(first)}
    answer = int(prediction.probabilities[0].argmax())
    maps = {number: grad_cam(predictor, recording, class_index=number).map for number in range(6) if number != answer}
    speaking = [number for number, places in maps.items() if places.any()]
    choose(browser, "class", CLASSES[speaking[0]])
    between = picture(browser, "explanation", other_than=before)
    choose(browser, "class", CLASSES[speaking[1]])
    after = picture(browser, "explanation", other_than=between)
    assert not np.allclose(maps[speaking[0]], maps[speaking[1]])
    browser.sees("Download", picture="web-other-class")
    choose(browser, "recording", second.name)
    picture(browser, "explanation", other_than=after)

    browser.click("//a[contains(., 'CSV')]")
    check_csv(downloaded(saved), [first.name, second.name, bad.name], prediction)

    browser.picture("web-whole", width=1400)
    assert asked_for(browser) == {"127.0.0.1"}
    assert [words for words in browser.complaints if "Failed to load" in words] == []


def test_a_person_uploads_seizures_and_sees_their_types(browser: Browser, tmp_path: Path) -> None:
    samples = np.random.default_rng(0).normal(2, 0.5, (37, 20, 24)).astype(np.float32)
    np.save(tmp_path / "samples.npy", samples)
    eeg = write_parquet(tmp_path / "eeg.parquet", "eeg", microvolts(20))
    np.save(tmp_path / "bad.npy", samples[:, :7])
    files = [tmp_path / "samples.npy", eeg, tmp_path / "bad.npy"]
    model, saved = write_seizure_model(tmp_path / "model"), tmp_path / "downloads"
    saved.mkdir()
    asked_for(browser)
    with serving(tmp_path, model, "--auth", PASSWORD) as (address, _):
        browser.driver.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(saved)})
        open_page(browser, address)
        browser.sees("Predict", "not for diagnosis", picture="web-seizures-empty")
        browser.driver.find_element(By.CSS_SELECTOR, "#files input[type=file]").send_keys("\n".join(map(str, files)))
        browser.sees(*(file.stem for file in files), picture="web-seizures-uploaded")
        browser.click("//*[@id='predict']")
        text = browser.sees(*(file.name for file in files), "Class to explain", picture="web-seizures")
        assert "expected FFT samples [samples, 20, 24], found [37, 7, 24]" in text

        predictor = Predictor.open(model)
        prediction = predictor.predict([samples, read_seizure_samples(eeg)])
        before = picture(browser, "explanation")
        recording = {"fft": samples}
        answer = int(prediction.probabilities[0].argmax())
        maps = {number: grad_cam(predictor, recording, class_index=number).map for number in range(len(SEIZURE_TYPES))}
        speaking = [number for number, places in maps.items() if places.any() and number != answer]
        choose(browser, "class", SEIZURE_TYPES[speaking[0]])
        between = picture(browser, "explanation", other_than=before)
        choose(browser, "recording", eeg.name)
        picture(browser, "explanation", other_than=between)
        picture(browser, "eeg")

        browser.click("//a[contains(., 'CSV')]")
        check_csv(downloaded(saved), [file.name for file in files], prediction, SEIZURE_TYPES)
        browser.picture("web-seizures-whole", width=1400)
        for file in saved.iterdir():
            file.unlink()
    assert asked_for(browser) == {"127.0.0.1"}


def downloaded(folder: Path) -> list[dict[str, str]]:
    for _ in range(100):
        if files := list(folder.glob("*.csv")):
            with files[0].open(encoding="utf-8", newline="") as file:
                return list(csv.DictReader(file))
        time.sleep(0.1)
    pytest.fail("no CSV was saved")


@pytest.mark.parametrize("path", ["", "/config", "/gradio_api/info", "/theme.css", "/openapi.json", "/api/predict"])
def test_nobody_without_the_password_sees_the_page(served: Served, path: str) -> None:
    with pytest.raises(HTTPError) as refused:
        urlopen(served.address + path)
    refused.value.close()
    assert refused.value.code == 401
