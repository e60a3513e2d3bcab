"""TEACHING.md against the lessons: minutes, sections, who needs what; and its JupyterHub, tried."""

import re
import shutil
import socket
import sys
import time
from itertools import takewhile
from pathlib import Path

import psutil
import pytest
from conftest import lacking
from lab_server import PATIENCE
from lesson_cells import PATHS
from playwright.sync_api import sync_playwright
from reading_time import minutes, sections
from test_browser import CHROMIUM, OPTIONS, Panel, command
from test_paths import LESSONS, needs, numbers
from test_prose import headings
from test_reading_time import NUMBERED, by_number

PAGE = (Path(__file__).parent.parent / "TEACHING.md").read_text(encoding="utf-8")
ROW = re.compile(
    r"^\| \[(\d\d)\]\((\S+)\) \| (\d+) \| (.+): (\d+) \| (\d+) \| (.*?) ?\|$", re.MULTILINE
)
ROWS = ROW.findall(PAGE)
NOTES = dict(re.findall(r"^### (\d\d) · .*\n((?:(?!##).*\n)+)", PAGE, re.MULTILINE))
each_row = pytest.mark.parametrize("row", ROWS, ids=[number for number, *_ in ROWS])


def in_class(nb, chosen):
    """Minutes of the opening and the chosen sections, or of "all"."""
    if chosen == "all":
        return minutes(nb)
    parts = takewhile(lambda part: part[0] > 2 or not NUMBERED.match(part[1]), sections(nb))
    return sum(time for *_, time in parts) + sum(by_number(nb)[k] for k in numbers(chosen))


def test_each_lesson_has_a_row_and_notes():
    lessons = [(path.stem[:2], f"notebooks/{path.name}") for path in PATHS]
    assert [row[:2] for row in ROWS] == lessons
    assert list(NOTES) == list(LESSONS)


@each_row
def test_minutes_are_those_measured_and_a_class_has_time_to_talk(row):
    number, _, whole, chosen, together, home, _ = row
    total, shared = minutes(LESSONS[number]), in_class(LESSONS[number], chosen)
    assert int(whole) == pytest.approx(total, abs=3)
    assert int(together) == pytest.approx(shared, abs=3)
    assert int(home) == int(whole) - int(together)
    assert shared <= 60


@each_row
def test_who_names_a_lesson_is_told(row):
    number, *_, named = row
    assert numbers(named) == {int(later) for later, nb in LESSONS.items() if number in needs(nb)}


@each_row
def test_sections_and_exercises_are_there(row):
    text, there = NOTES[row[0]], headings(LESSONS[row[0]])
    named = numbers(" ".join(re.findall(r"[Ss]ections? (\d[\d, andto]*)", text)))
    exercises = re.findall(r"\d+\.\d+", " ".join(re.findall(r"xercises? (\d[\d., and]*)", text)))
    wanted = [f"{n} " for n in named] + [f"Exercise {exercise} " for exercise in exercises]
    assert [start for start in wanted if not any(h.startswith(start) for h in there)] == []


# --- JupyterHub -----------------------------------------------------------------------------------

NAMES = ["ada", "grace"]


@pytest.fixture
def hub(tmp_path):
    """A hub with the page's configuration, but for ports and folder: (its process, its address)."""
    pytest.importorskip("jupyterhub", reason="JupyterHub is no part of the installation")
    if not shutil.which("configurable-http-proxy"):
        pytest.skip("configurable-http-proxy is not installed: see TEACHING.md")
    (tmp_path / "config.py").write_text(re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1])
    with socket.socket() as a, socket.socket() as b, socket.socket() as c:
        for free in (a, b, c):
            free.bind(("127.0.0.1", 0))
        outside, inside, proxy = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (a, b, c))
    options = f"""--JupyterHub.bind_url={outside} --JupyterHub.hub_bind_url={inside}
        --ConfigurableHTTPProxy.api_url={proxy} --Spawner.args=["--allow-root"]
        --SimpleLocalProcessSpawner.home_dir_template={tmp_path}/{{username}}""".split()
    program = [sys.executable, "-m", "jupyterhub", "-f", "config.py", *options]
    with open(tmp_path / "log", "w") as log:
        process = psutil.Popen(program, cwd=tmp_path, stdout=log, stderr=log)
    end = time.monotonic() + PATIENCE
    while "JupyterHub is now running" not in (said := (tmp_path / "log").read_text()):
        assert process.poll() is None and time.monotonic() < end, said
        time.sleep(0.1)
    yield process, outside
    family = [process, *process.children(recursive=True)]
    process.terminate()  # it ends its proxy and its users' servers
    for survivor in psutil.wait_procs(family, timeout=20)[1]:
        survivor.kill()


def log_in(browser, address, name):
    page = browser.new_context().new_page()
    page.set_default_timeout(1000 * PATIENCE)
    page.goto(f"{address}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", re.search(r'password = "(.*)"', PAGE)[1])
    page.click("#login_submit")
    return page


@pytest.mark.hardening
def test_two_users_at_once_train_in_kernels_of_their_own(hub, tmp_path):
    if not CHROMIUM:
        lacking("Chromium is not installed (Debian, Ubuntu: apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        pages = [log_in(browser, hub[1], name) for name in NAMES]
        for page in pages:
            page.get_by_text("Python 3 (ipykernel) | Idle").wait_for()
            command(page, "Run", "runmenu:run-all")
        for page in pages:
            Panel(page).begun()
    lines = {child: child.as_dict(["cmdline"], []) for child in hub[0].children(recursive=True)}
    kernels = [child for child, line in lines.items() if "ipykernel_launcher" in line["cmdline"]]
    assert sorted(kernel.environ()["JUPYTERHUB_USER"] for kernel in kernels) == NAMES
    assert {kernel.cwd() for kernel in kernels} == {f"{tmp_path}/{n}/notebooks" for n in NAMES}
    used = [sum(part.memory_info().rss for part in (k, k.parent())) for k in kernels]
    assert max(used) < 1.5e9  # what README gives each
