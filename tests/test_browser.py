"""The lessons' panels in real JupyterLab, in Chromium without a window.

Each lesson that has a panel is run there as a learner would: Run All, move gamma by keyboard, press
the buttons. COURSE_FOREGROUND is not set, so this is the only test in which the panel's thread,
the kernel's and the browser work together.
"""

import base64
import io
import json
import re
import shutil
import time
import uuid
from contextlib import contextmanager
from urllib.request import Request, urlopen

import nbformat
import pytest
from conftest import lacking
from lab_server import PATIENCE, jupyterlab, quiet
from lesson_cells import NOTEBOOKS, sampled
from PIL import Image
from playwright.sync_api import sync_playwright

from helpers.live import gamma
from helpers.live.panel import FINE, QUIET_SECONDS

WITH_PANEL = [
    path for path in sorted(NOTEBOOKS.glob("*.ipynb")) if "LivePanel(" in path.read_text()
]
FIRST, *OTHERS = WITH_PANEL  # each takes half a minute: the first by default
CASES = [pytest.param(FIRST, id=FIRST.stem)] + [
    pytest.param(path, id=path.stem, marks=pytest.mark.hardening) for path in sampled(OTHERS, 1)
]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
OPTIONS = """--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
--disable-background-networking --disable-component-update""".split()

COUNT = """image => {
    window.loads = 0;
    image.addEventListener("load", () => window.loads++);
}"""
IS_FINE = f"image => image.naturalWidth === {FINE} * parseInt(image.style.width)"
BYTES = "async image => Array.from(new Uint8Array(await (await fetch(image.src)).arrayBuffer()))"


@pytest.fixture(scope="module", autouse=True)
def browser():
    if not CHROMIUM:
        lacking("Chromium is not installed (Debian, Ubuntu: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(browser, tmp_path_factory):
    """JupyterLab: (address, token, folder); lessons come to notebooks/."""
    folder = tmp_path_factory.mktemp("jupyter")
    (folder / "notebooks").mkdir()
    quiet(folder)
    with jupyterlab(folder, "--ip=127.0.0.1", "--port=0", str(folder)) as (_, address, token):
        yield address, token, folder


@pytest.fixture
def lab(server, browser, tmp_path):
    """A function that opens a lesson: its page. Afterwards the page must have had no errors."""
    address, token, folder = server
    page, errors = browser.new_page(viewport={"width": 1300, "height": 1100}), []
    page.set_default_timeout(1000 * PATIENCE)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: line.type == "error" and errors.append(line.text))

    def sessions(number="", method="GET"):
        path = f"{address}api/sessions{number}?token={token}"
        with urlopen(Request(path, method=method)) as answer:
            return json.loads(answer.read() or "null")

    def open_lesson(name):
        # As it is handed out: in one that was saved, JupyterLab looks for panels of a kernel gone.
        shutil.copy(NOTEBOOKS / name, folder / "notebooks")
        workspace = uuid.uuid4().hex  # so that no earlier layout comes back
        path = f"lab/workspaces/{workspace}/tree/notebooks/{name}"
        page.goto(f"{address}{path}?token={token}&reset")
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
        while not any(session["kernel"]["connections"] for session in sessions()):
            page.wait_for_timeout(50)  # the indicator is idle before there is a kernel, too
        return page

    yield open_lesson
    page.screenshot(path=tmp_path / "page.png")
    print(f"screenshot: {tmp_path}/page.png")
    page.close()
    for session in sessions():
        sessions(f"/{session['id']}", "DELETE")
    assert errors == []


def until(page, condition, hint=lambda: ""):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, hint()
        page.wait_for_timeout(100)


class Panel:
    """The first panel with gamma and a learning rate, as a learner sees and works it."""

    def __init__(self, page):
        self.page = page
        bar = page.locator(".widget-slider", has_text="discount gamma")
        rate = page.locator(".widget-slider", has_text="learning rate")
        self.root = page.locator(".widget-vbox", has=bar).filter(has=rate).first
        self.image = self.root.locator(".widget-image")
        self.gamma = self.root.locator(".widget-hbox", has=bar).last
        self.handle, self.field = self.gamma.locator(".noUi-handle"), self.gamma.locator("input")

    def status(self):
        return self.root.locator(".live-status").text_content().strip()

    def until(self, condition):
        until(self.page, condition, self.status)

    def finished(self):
        """Whether gamma as it stands has been trained to the end."""
        return self.trained() == self.value() and self.status().startswith("Finished.")

    def value(self):
        """Gamma as it stands beside the slider."""
        return float(self.field.input_value() or "nan")

    def trained(self):
        """Gamma of the run that is drawn now, as the table has it."""
        settings = self.root.locator("table td").nth(1)
        found = settings.count() and re.search(r"discount gamma ([\d.]+)", settings.text_content())
        return found and float(found[1])

    def says(self, bar):
        """Whether the run that is drawn now has the number that stands beside this slider."""
        field = bar.locator("xpath=..").locator("input")
        setting = f"{bar.locator('label').text_content()} {field.input_value()}"
        return setting in self.root.locator("table td").nth(1).text_content().split(", ")

    def begun(self):
        self.image.scroll_into_view_if_needed()
        self.until(lambda: re.match(r"Training, [1-9]|Finished", self.status()))
        return self

    def bytes(self):
        return bytes(self.image.evaluate(BYTES))

    def fine(self):
        """The picture once it stays, which is drawn finely."""
        self.until(lambda: self.image.evaluate(IS_FINE))
        return self.bytes()

    def press(self, name):
        self.root.get_by_role("button", name=name, exact=True).click()

    def keys(self, count, then):
        """Press the left arrow on gamma's slider, and wait; the picture is never blank."""
        self.handle.focus()
        self.image.evaluate(COUNT)
        with filmed(self.page, format="jpeg", maxWidth=650, maxHeight=550) as frames:
            for _ in range(count):
                self.page.keyboard.press("ArrowLeft")
                time.sleep(0.02)
            self.until(lambda: self.page.evaluate("loads") >= 2)
            self.until(then)
        box, width = self.image.bounding_box(), self.page.viewport_size["width"]
        assert frames and not any(blank(frame, box, width) for _, frame in frames)


@contextmanager
def filmed(page, **options):
    """What was on the screen meanwhile: the browser's own frames, (seconds, bytes)."""
    film, frames = page.context.new_cdp_session(page), []

    def keep(frame):
        frames.append((frame["metadata"]["timestamp"], base64.b64decode(frame["data"])))
        film.send("Page.screencastFrameAck", {"sessionId": frame["sessionId"]})

    film.on("Page.screencastFrame", keep)
    film.send("Page.startScreencast", options)
    try:
        yield frames
    finally:
        film.send("Page.stopScreencast")
        film.detach()


def blank(frame, box, page_width):
    """Whether a frame shows nothing drawn where the picture stands."""
    image = Image.open(io.BytesIO(frame)).convert("L")
    scale = image.width / page_width
    left, top = box["x"] * scale + 3, box["y"] * scale + 3
    right, bottom = (box["x"] + box["width"]) * scale - 3, (box["y"] + box["height"]) * scale - 3
    return image.crop((left, top, right, bottom)).getextrema()[0] > 200


def command(page, menu, name):
    page.click(f'.lm-MenuBar-item:has-text("{menu}")')
    page.click(f'.lm-Menu-item[data-command="{name}"]')


def errors_in_cells(page, path):
    """Save the notebook; what its cells so far have raised. Later ones may still be running: that
    all run to their ends is what nbval tests."""
    before = path.stat().st_mtime_ns
    page.keyboard.press("Escape")
    page.keyboard.press("Control+s")
    until(page, lambda: path.stat().st_mtime_ns > before and path.read_text().endswith("}\n"))
    notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    panel = next(k for k, cell in enumerate(cells) if "LivePanel(" in cell.source)
    assert all(cell.execution_count for cell in cells[: panel + 1])
    outputs = [output for cell in cells for output in cell.outputs]
    return [output.evalue for output in outputs if output.output_type == "error"]


def test_a_cell_shows_nothing_before_it_has_run(lab):
    page = lab("00_start_here.ipynb")
    first = page.locator(".jp-CodeCell").first  # it says whether all is installed
    placeholders = first.locator(".jp-Cell-outputWrapper .jp-PlaceholderText")
    assert placeholders.count() == 1 and not placeholders.inner_text().strip()
    assert page.locator(".jp-OutputArea-output:visible").count() == 0
    first.locator(".jp-InputPrompt").click()
    page.keyboard.press("Control+Enter")
    first.locator(".jp-OutputArea-output", has_text="Everything is installed").wait_for()
    assert page.locator(".jp-OutputArea-output:visible").count() == 1


@pytest.mark.parametrize("path", CASES)
def test_panel_in_jupyterlab(path, server, lab):
    """All of it while the notebook's other cells run or wait, as for a learner who is quick."""
    page = lab(path.name)
    command(page, "Run", "runmenu:run-all")
    panel = Panel(page).begun()
    initial, first = panel.value(), panel.bytes()

    below = gamma().places[: gamma().places.index(initial)]
    panel.keys(1, then=lambda: panel.trained() == panel.value() and panel.bytes() != first)
    assert panel.value() == below[-1]
    panel.keys(30, then=panel.finished)
    assert panel.value() == below[-31]

    panel.press("Pause")
    panel.handle.press("ArrowLeft")
    panel.until(lambda: panel.status().startswith("Paused at 0%"))
    seen = [panel.fine()]
    for _ in range(2):
        panel.press("Step")
        panel.until(lambda: panel.bytes() != seen[-1])
        assert re.match(r"Paused at \d+%: Resume goes on", panel.status())
        seen.append(panel.fine())
    page.wait_for_timeout(1000 * QUIET_SECONDS + 200)
    assert panel.bytes() == seen[-1]
    panel.press("Resume")
    panel.until(panel.finished)
    assert panel.trained() == below[-32]
    panel.press("Reset")
    panel.until(lambda: panel.value() == initial == panel.trained())

    panel.press("Pause")
    for bar in panel.root.locator(".widget-slider").all():
        bar.locator(".noUi-handle").press("Home")
        bar.locator(".noUi-handle").press("ArrowRight")
        panel.until(lambda bar=bar: panel.says(bar))
    panel.press("Reset")

    assert errors_in_cells(page, server[2] / "notebooks" / path.name) == []
    if "watch(" in path.read_text():
        play_again(page)

    lost = panel.root.locator(".live-lost")
    assert not lost.is_visible()
    command(page, "Kernel", "kernelmenu:restart")
    page.click(".jp-Dialog-button.jp-mod-accept")
    until(page, lost.is_visible)
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")


def play_again(page):
    button = page.locator("button", has_text="Play again")
    box = page.locator(".widget-vbox", has=button).last
    picture, words = box.locator("img"), box.text_content()
    before = picture.get_attribute("src")
    button.click()
    until(page, lambda: picture.get_attribute("src") != before)
    assert box.text_content() != words and picture.evaluate("image => image.naturalWidth") > 100
