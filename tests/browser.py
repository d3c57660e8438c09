"""A headless Chromium for the tests; the pictures it takes are kept in ``test-artifacts``."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.common.exceptions import (
    ElementClickInterceptedException,
    NoSuchElementException,
    StaleElementReferenceException,
    TimeoutException,
)
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PICTURES = Path(__file__).parents[1] / "test-artifacts"
FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync --window-size=1600,1400"
)


class Browser:
    """A headless Chromium that waits for what a person would see."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def open(self, address: str) -> None:
        """Open an address in a blank tab: the dashboards would otherwise stay on the page they are on."""
        self.driver.get("about:blank")
        self.driver.get(address)

    @property
    def text(self) -> str:
        return str(self.driver.find_element(By.TAG_NAME, "body").text)

    def sees(self, *words: str, picture: str) -> str:
        """Wait until the page shows all words, keep a picture of it, and return its text."""
        waiting = WebDriverWait(self.driver, 90, 0.2, ignored_exceptions=[StaleElementReferenceException])
        try:
            waiting.until(lambda _: all(word in self.text for word in words))
        except TimeoutException:
            missing = [word for word in words if word not in self.text]
            pytest.fail(f"{self.driver.current_url} does not show {missing}, but: {self.text}")
        finally:
            PICTURES.mkdir(exist_ok=True)
            self.driver.save_screenshot(str(PICTURES / f"{picture}.png"))
        return self.text

    def picture(self, name: str, *, width: int) -> None:
        """Keep a picture of the whole page, laid out in a window of this width in pixels."""
        window = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 600}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
        window["height"] = self.driver.execute_script("return document.documentElement.scrollHeight")
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", window)
        PICTURES.mkdir(exist_ok=True)
        self.driver.save_screenshot(str(PICTURES / f"{name}.png"))

    @property
    def complaints(self) -> list[str]:
        """What the console has said since it was last asked: errors of scripts, and what could not be loaded."""
        return [str(entry["message"]) for entry in self.driver.get_log("browser")]

    def click(self, path: str) -> None:
        """Click on the element at an XPath as soon as it is there."""
        gone = (NoSuchElementException, StaleElementReferenceException, ElementClickInterceptedException)
        waiting = WebDriverWait(self.driver, 60, 0.2, ignored_exceptions=gone)
        waiting.until(lambda driver: driver.find_element(By.XPATH, path).click() is None)

    def shows_image(self, source: str) -> tuple[int, int]:
        """Wait until an image is drawn; return its width and height in pixels."""
        script = "const i = document.querySelector(arguments[0]); return [i?.naturalWidth ?? 0, i?.naturalHeight ?? 0]"

        def size(driver: webdriver.Chrome) -> list[int] | None:
            found: list[int] = driver.execute_script(script, source)
            return found if all(found) else None

        width, height = WebDriverWait(self.driver, 60, 0.2).until(size)
        return width, height


@contextmanager
def chromium(profile: Path) -> Iterator[Browser | None]:
    """Run a fresh Chromium that keeps its files in a folder; yields None where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        yield None
        return
    options = webdriver.ChromeOptions()
    options.binary_location = program
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    for flag in (*FLAGS.split(), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    try:
        yield Browser(chrome)
    finally:
        chrome.quit()
