"""README's film, taken anew: in lesson 00's panel, the learning rate is dragged, and the agents learn.

    python tests/record_drag.py

Needs Chromium and an idle machine: it goes at the pace at which it was taken. It plays once; its last
picture stands beside it, for readers who have asked their machine for less motion.
"""

import io
import tempfile
from pathlib import Path

import nbformat
import numpy as np
from lab_server import PATIENCE, jupyterlab, quiet
from lesson_cells import NOTEBOOKS, Lesson, read
from PIL import Image
from playwright.sync_api import sync_playwright
from test_browser import CHROMIUM, OPTIONS, Panel, command, filmed

FILM = NOTEBOOKS.parent / ".github" / "drag.gif"
LESSON = Lesson(0)
SLOW, PART = "0.005", 14 / 80  # the first rate; how far the slider is dragged, of its length
SCALE, COLOURS = 1.5, 64  # a sharp picture on a dense screen, and a small file
WINDOW = ["--window-size=1015,830", f"--force-device-scale-factor={SCALE}"]
POINTER = """() => {
const arrow = document.body.appendChild(document.createElement("img"));
arrow.src = "data:image/svg+xml," + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg"
    width="22" height="30"><path d="M2 2v22l5-5 4 9 4-2-4-9h8z" stroke="white"/></svg>`);
arrow.style = "position: fixed; left: -99px; z-index: 99999; pointer-events: none";
document.addEventListener("pointermove", event => Object.assign(arrow.style,
    {left: `${event.clientX - 2}px`, top: `${event.clientY - 2}px`}), true); }"""


def open_panel(page, address, token, folder):
    """The lesson's panel, finished at the slow rate, and a pointer: films show none."""
    notebook = read(LESSON.path)
    notebook.cells = [LESSON.cell(name) for name in ("cell-03", "cell-05", "cell-07")]
    notebook.cells[-1].source = notebook.cells[-1].source.replace('CARTPOLE["lr"]', SLOW)
    nbformat.write(notebook, folder / "lesson.ipynb")
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{address}lab/tree/lesson.ipynb?token={token}&reset")
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
    page.wait_for_timeout(2000)
    page.keyboard.press("Control+b")  # no list of files
    command(page, "Run", "runmenu:run-all")
    panel = Panel(page).begun()
    panel.until(panel.finished)
    panel.fine()
    panel.root.evaluate("root => root.scrollIntoView()")
    page.evaluate("document.activeElement.blur()")  # no frame around the cell
    page.evaluate(POINTER)
    return panel


def drag(page, panel):
    bar = panel.root.locator(".widget-slider", has_text="learning rate")
    handle, track = (bar.locator(part).bounding_box() for part in (".noUi-handle", ".noUi-base"))
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    glide(page, (x + 120, y + 160), (x, y))
    page.mouse.down()
    glide(page, (x, y), (x + PART * track["width"], y))
    page.mouse.up()
    panel.until(lambda: panel.says(bar) and panel.status().startswith("Finished."))
    panel.fine()
    page.wait_for_timeout(300)


def glide(page, start, end, moves=20):
    page.mouse.move(*start)
    page.wait_for_timeout(300)
    for k in range(1, moves + 1):
        page.mouse.move(*(a + (b - a) * k / moves for a, b in zip(start, end)))
        page.wait_for_timeout(40)


def save(frames, box):
    """The frames (seconds, PNG), cut to the box; of each only what changes."""
    edges = box["x"] - 8, box["y"] + 2, box["x"] + box["width"] + 8, box["y"] + box["height"] + 8
    times, pngs = zip(*sorted(frames))
    images = [Image.open(io.BytesIO(png)).convert("RGB") for png in pngs]
    images = [image.crop([round(SCALE * edge) for edge in edges]) for image in images]
    palette = images[-1].quantize(COLOURS)
    palette.putpalette([255 if part > 248 else part for part in palette.getpalette()])  # white
    images = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in images]
    images[-1].save(FILM.with_suffix(".png"), optimize=True)
    clear = {"transparency": COLOURS, "disposal": 1}
    for image, pixels in zip(images[1:], [np.array(image) for image in images]):
        image.paste(COLOURS, mask=Image.fromarray(np.array(image) == pixels))
    lasting = [*(1000 * np.diff(times)).round().astype(int).tolist(), 1000]
    images[0].save(FILM, save_all=True, append_images=images[1:], duration=lasting, **clear)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        quiet(folder := Path(folder))
        with jupyterlab(folder, "--ip=127.0.0.1", "--port=0", str(folder)) as (_, *at):
            browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*OPTIONS, *WINDOW])
            page = browser.new_page(no_viewport=True)
            panel = open_panel(page, *at, folder)
            with filmed(page, format="png", everyNthFrame=2) as frames:
                drag(page, panel)
            save(frames, panel.root.bounding_box())
