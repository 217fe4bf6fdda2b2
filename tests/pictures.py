"""Make the pictures of the documentation again: ``python tests/pictures.py``. It needs Chromium."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cohere_rerank as cohere

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "images"
sys.path.insert(0, str(ROOT))  # for `tests`, when this file is run as a script

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")

# Roughly the style of a notebook around the table, which brings its own style.
NOTEBOOK = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 14px/1.4 system-ui, sans-serif; color: #212121; background: #fff; margin: 12px }}
table {{ border-collapse: collapse; font-size: 13px }}
th, td {{ padding: 5px 10px; text-align: left; vertical-align: top }}
tbody tr:nth-child(odd) {{ background: #f5f5f5 }}
</style>{table}"""

DOCUMENTS = [
    "Invoices are sent on the first day of each month. You can download them under Billing.",
    {"title": "Sign-in", "text": "A lost password can be reset by e-mail. Choose 'Lost password' on the sign-in page."},
    "To change your e-mail address, open Settings and choose Account.",
    "Passwords have at least twelve characters.",
]


def response() -> cohere.V2RerankResponse:
    """Return the response that docs/start/results.md shows."""
    with cohere.ClientV2(base_url="local:") as client:
        return client.rerank(
            model="rerank-v4.0-fast",
            query="how do I reset a lost password",
            documents=DOCUMENTS,
            relevant_spans={"mode": "enabled"},
        )


def screenshot(html: str, target: Path, width: int, height: int) -> None:
    """Draw a page of HTML with Chromium and save it as a PNG of this size in pixels."""
    chromium = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if chromium is None:
        raise SystemExit("Chromium is not installed, and the pictures need it")
    with tempfile.TemporaryDirectory() as work:
        page = Path(work, "page.html")
        page.write_text(html, encoding="utf-8")
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        options += ["--disable-component-update", "--disable-sync", "--hide-scrollbars"]
        options += [f"--user-data-dir={work}/profile", f"--screenshot={target}", f"--window-size={width},{height}"]
        subprocess.run([chromium, *options, page.as_uri()], check=True, capture_output=True, timeout=120)


# The example of the playground, ranked by two engines.
# The second run does not wait for the model to load.
COMPARE = "select('second', 'local-semantic'); return run().then(() => run()).then(() => null)"


def playground(folder: Path) -> None:
    """Draw the playground at the width of a notebook, in light and dark, and at that of a phone."""
    from tests.server import browser
    from tests.server.running_server import RunningServer

    with RunningServer() as served:
        chromium = browser.start_browser()
        try:
            page = browser.Page(chromium, served.url)
            chromium.execute_script(COMPARE)
            for name, width, height, scheme in (
                ("playground", 1280, 880, "light"),
                ("playground-dark", 1280, 880, "dark"),
                ("playground-phone", 390, 800, "light"),
            ):
                page.emulate(width, height, scheme)
                if name == "playground-phone":
                    chromium.execute_script("document.getElementById('answer').scrollIntoView()")
                shot = chromium.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
                (folder / f"{name}.png").write_bytes(base64.b64decode(shot["data"]))
        finally:
            chromium.quit()


def make(folder: Path) -> None:
    """Draw all pictures into a folder. Those of measurements show what was recorded last."""
    from tests.benchmarks.bench_targets import draw_picture

    draw_picture(folder / "performance.svg")
    playground(folder)
    screenshot(NOTEBOOK.format(table=response()._repr_html_()), folder / "notebook.png", 900, 196)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    make(FOLDER)
