"""Drives the playground in a headless Chromium, as a person would."""

from __future__ import annotations

import os
import shutil
import time

from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.select import Select

TIMEOUT_S = 20.0
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


def start_browser():
    """Start a Chromium without a window. It can reach this machine only."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    for argument in ("headless=new", "disable-gpu", "disable-dev-shm-usage", "no-first-run"):
        options.add_argument(f"--{argument}")
    options.add_argument("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox does not start for root
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))


class Page:
    """The open playground page."""

    def __init__(self, browser, url):
        self.browser = browser
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size(1280, 900))
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
        browser.get_log("browser")  # of what was open before
        browser.get(f"{url}/")
        self.until(self.is_ready, "the page has started")

    def is_ready(self):
        """Return whether the page ranked its example, waits for a click, or shows a problem."""
        shown = self.all("#results > section") or self.texts("#problem") != [""]
        return bool(shown) or self.texts("#status")[0].startswith("Press Rank")

    def emulate(self, width, height, scheme):
        """Show the page in a window of this size in pixels, in a light or dark scheme."""
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        self.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size(width, height))
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def __getitem__(self, name):
        return self.browser.find_element(By.ID, name)

    def all(self, selector):
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """Return the `textContent` of all matching elements."""
        script = "return Array.from(document.querySelectorAll(arguments[0]), (found) => found.textContent)"
        return self.browser.execute_script(script, selector)

    def until(self, is_true, what):
        """Wait until a condition of the page is true."""
        end = time.monotonic() + TIMEOUT_S
        while not is_true():
            assert time.monotonic() < end, what
            time.sleep(0.01)

    def write(self, name, text):
        """Paste a text. The driver cannot type characters outside the first plane of Unicode."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'))"
        self.browser.execute_script(script, self[name], text)

    def choose(self, name, value):
        Select(self[name]).select_by_value(value)

    def fill_in(self, query, documents, form="lines"):
        self.choose("form", form)
        self.write("query", query)
        self.write("documents", documents)

    def press(self, name):
        """Press a button, and wait for the results."""
        self.browser.execute_script("document.getElementById('results').replaceChildren()")
        self[name].click()
        self.until(lambda: self.all("#results > section"), "there is an answer")

    def rank(self, *what, **how):
        self.fill_in(*what, **how)
        self.press("run")

    def code(self, name):
        """Return the call as code, as the page shows it."""
        self[name].click()
        return self.texts("#code")[0]

    def order(self, section=1):
        """Return the indices of the documents in one ranking, best first."""
        notes = self.texts(f"#results > section:nth-child({section}) li > .quiet")
        return [int(note.split()[1]) for note in notes]

    def complaints(self):
        """Return the messages in the console, with violations of the page's policy."""
        return [entry["message"] for entry in self.browser.get_log("browser")]


def size(width, height):
    return {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
