"""The live panel without a browser: threads, cancelling, pausing, errors, what it leaves behind."""

import _thread
import base64
import gc
import random
import re
import subprocess
import sys
import threading
import time
import weakref
from types import SimpleNamespace
from typing import NamedTuple
from unittest.mock import Mock

import numpy as np
import pytest
from ipywidgets.widgets import widget as ipywidgets_widget

from helpers import in_foreground, live
from helpers.errors import SlipError
from helpers.live import LivePanel, controls, learning_curves
from helpers.live import panel as panel_module
from helpers.training import CARTPOLE, a2c

LATE = 5.0  # seconds; a bound for what takes milliseconds, generous since machines are shared


class Item(NamedTuple):
    fraction: float

    def words(self):
        return f"Now at {self.fraction:.2f}."


class Train:
    """A train function that sleeps in each update and remembers what was done with its runs."""

    def __init__(self, updates=20, seconds=0.002):
        self.updates, self.seconds = updates, seconds
        self.runs = []  # one for each run that began: values, updates made, finished, closed

    def __call__(self, **values):
        run = SimpleNamespace(values=values, made=0, finished=False, closed=False)
        self.runs.append(run)
        return self._generate(run)

    def _generate(self, run):
        try:
            for update in range(self.updates):
                time.sleep(self.seconds)
                run.made += 1
                yield Item((update + 1) / self.updates)
            run.finished = True
        finally:
            run.closed = True

    @property
    def finished(self):
        return [run.values for run in self.runs if run.finished]

    @property
    def made(self):
        return sum(run.made for run in self.runs)


class Picture:
    """A picture that costs nothing: its bytes say which run and update they show. One place, be it of
    the picture or of train, fails while `broken` names it."""

    width = 500
    broken, error = None, None

    def __init__(self):
        self.label, self.items, self.restarts, self.kept = "", [], 0, 0
        self.fine = 0  # how often it was drawn finely

    def check(self, place):
        if self.broken == place:
            raise self.error

    def train(self, **values):
        self.check("train")
        return self._generate(values)

    def _generate(self, values):
        for item in Train(updates=4)(**values):
            if item.fraction > 0.5:
                self.check("update")
            yield item

    def restart(self, settings):
        self.check("restart")
        self.label, self.items, self.restarts = ", ".join(settings), [], self.restarts + 1

    def add(self, item):
        self.check("add")
        self.items.append(item)

    def png(self, scale=1):
        self.check("png")
        self.fine += scale > 1
        return f"{self.restarts}, {len(self.items)}".encode()

    def keep(self):
        self.kept += 1

    def rows(self):
        self.check("rows")
        look = "kept once" if self.kept else "blue, solid"
        return [(look, self.label, f"{len(self.items)} updates")]


each_place = pytest.mark.parametrize("place", ["train", "update", "restart", "add", "png", "rows"])


def until(condition):
    """Wait for a condition; fails where it takes long."""
    end = time.monotonic() + LATE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def shown(panel):
    """The picture's bytes."""
    return bytes(panel._image.value)


@pytest.fixture
def make(monkeypatch):
    """Makes panels that train in threads; afterwards they are closed and no thread is left."""
    monkeypatch.delenv("COURSE_FOREGROUND", raising=False)
    monkeypatch.setattr(panel_module, "QUIET_SECONDS", 0)
    before, panels = set(threading.enumerate()), []

    def make(train, picture=None, **controls):
        controls = controls or {"gamma": live.gamma(0.9), "lr": live.learning_rate(0.01)}
        panels.append(LivePanel(train, picture or Picture(), **controls))
        return panels[-1]

    yield make
    for panel in panels:
        panel.close()
    until(lambda: set(threading.enumerate()) <= before)


@pytest.fixture
def foreground(monkeypatch):
    monkeypatch.setenv("COURSE_FOREGROUND", "1")


def parts(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from parts(child)


def press(panel, *names):
    """Click the button that now bears each name."""
    for name in names:
        [button] = [w for w in parts(panel._box) if getattr(w, "description", None) == name]
        button.click()


def in_thread(call, *arguments):
    thread = threading.Thread(target=call, args=arguments)
    thread.start()
    return thread


# Moving the sliders


@pytest.mark.parametrize("gap", [0, 0.02])
def test_a_drag_ends_in_one_finished_run_with_the_last_values(make, gap):
    train = Train(updates=100, seconds=0.01)
    panel = make(train)

    def drag():
        for k in range(30):
            panel._controls["gamma"].value = round(0.3 + k / 100, 2)
            time.sleep(gap)

    in_thread(drag).join()
    assert panel.wait().startswith("Finished. Now at 1.00.")
    assert train.finished == [{"gamma": 0.59, "lr": pytest.approx(0.01)}] == [panel.values]
    begun = [run for run in train.runs if run.made]  # one replaced at once never begins
    assert all(run.closed for run in begun) and panel._progress.value == 1
    assert shown(panel).endswith(b", 100") and "discount gamma 0.59" in panel._table.value


def test_a_change_cancels_after_the_update_under_way(make):
    train = Train(updates=50, seconds=0.1)
    panel = make(train)
    until(lambda: train.made == 3)  # the fourth is under way
    panel.set(gamma=0.2)
    until(lambda: shown(panel).startswith(b"2, "))  # the new run's empty picture
    until(lambda: shown(panel) == b"2, 1")
    old, _ = train.runs
    assert old.made <= 4 and old.closed and not old.finished
    assert "Training, 2% done" in panel._status.value


def test_between_items_a_run_can_be_left_where_it_yields_none(make):
    go_on, runs = threading.Semaphore(0), []

    def train(**values):
        run = SimpleNamespace(made=0, closed=False)
        runs.append(run)
        try:
            for update in range(1, 9):
                assert update == 1 or go_on.acquire(timeout=LATE)
                run.made = update
                yield None if update % 4 > 1 else Item(update / 8)
        finally:
            run.closed = True

    panel = make(train)
    until(lambda: shown(panel) == b"1, 1")
    go_on.release()
    until(lambda: runs[0].made == 2)  # the third, which shows nothing either, is under way
    panel.set(gamma=0.2)
    go_on.release()
    until(lambda: shown(panel) == b"2, 1")
    assert runs[0].made == 3 and runs[0].closed and "Training, 12% done" in panel._status.value
    press(panel, "Pause", "Step")
    for _ in range(7):
        go_on.release()
    assert panel.wait().startswith("Paused at 62%: Resume goes on") and runs[1].made == 5
    press(panel, "Resume")
    assert panel.wait().startswith("Finished. Now at 1.00.") and shown(panel) == b"2, 4"


def test_a_control_is_heard_while_a_cell_runs(make):
    """ipykernel may not send a widget's messages elsewhere than to the page's own thread."""
    panel = make(Train())
    for widget in (*panel._controls.values(), panel._pause_button):
        assert widget.comm._reply_subshell_for({}, "the page's") == "the page's"


def test_a_message_leaves_the_figures_alone_that_a_cell_is_drawing(make, monkeypatch):
    """After a cell IPython shows and closes all figures; not after a message, which comes meanwhile."""
    panel, told = make(Train()), []
    shell = SimpleNamespace(events=SimpleNamespace(trigger=told.append))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    data = {"method": "update", "state": {"value": 50}, "buffer_paths": []}
    control = panel._controls["gamma"]
    control.children[0].comm.handle_msg({"content": {"data": data}, "buffers": []})
    assert control.value == control.places[50] and told == []


# Pause, Step, Resume, Reset, wait


@pytest.mark.parametrize("button", ["Pause", "Step"])
def test_pause_step_resume(make, button):
    train = Train(updates=40, seconds=0.01)
    panel = make(train)
    until(lambda: train.made >= 2)
    press(panel, button)
    words, made = panel.wait(), train.made
    assert words.startswith(f"Paused at {made / 40:.0%}: Resume goes on")
    time.sleep(0.05)
    assert train.made == made and shown(panel) == f"1, {made}".encode()
    press(panel, "Step")
    assert panel.wait().startswith("Paused at") and train.made == made + 1
    assert shown(panel) == f"1, {made + 1}".encode()
    press(panel, "Step", "Step", "Step")  # quicker than the updates
    panel.wait()
    assert train.made == made + 4
    press(panel, "Resume")
    assert panel.wait().startswith("Finished.") and train.made == 40 and len(train.finished) == 1


def test_an_update_under_way_is_not_called_paused_and_does_not_use_up_a_step(make):
    go_on = threading.Event()

    def train(**values):
        yield Item(0.25)
        go_on.wait(LATE)
        yield from map(Item, (0.5, 0.75, 1.0))

    panel = make(train)
    until(lambda: panel.latest and panel._updating)
    press(panel, "Pause")
    assert panel._words.startswith("Pausing at 25%, once the update under way has ended.")
    press(panel, "Step")
    go_on.set()
    assert panel.wait().startswith("Paused at 75%")  # the one under way, and the step
    press(panel, "Resume")
    assert panel.wait().startswith("Finished.")


def test_the_buttons_of_a_finished_panel(make):
    """Pause says nothing false, Step starts over by single steps, new values wait while it is paused."""
    train = Train(updates=20)
    panel = make(train)
    finished = panel.wait()
    for name in ("Pause", "Resume"):
        press(panel, name)
        assert panel.wait() == finished
    press(panel, "Step")
    assert panel.wait().startswith("Paused at 5%: Resume goes on") and train.runs[1].made == 1
    press(panel, "Step", "Step")
    assert panel.wait().startswith("Paused at 15%") and train.runs[1].made == 3
    press(panel, "Resume")
    assert panel.wait() == finished and train.finished == [panel.values] * 2
    press(panel, "Pause")
    panel.set(gamma=0.3)
    assert panel.wait().startswith("Paused at 0%")
    assert train.runs[2].made == 0 and "gamma 0.3" in panel._table.value
    press(panel, "Resume")
    panel.wait()
    assert train.finished[2]["gamma"] == 0.3 and len(train.runs) == 3


@pytest.mark.parametrize("paused", [False, True])
def test_reset_puts_the_controls_back_and_runs_again(make, paused):
    train = Train()
    panel = make(train)
    initial = panel.values
    panel.set(gamma=0.2, lr=0.5)
    panel.wait()
    press(panel, *["Pause"] * paused, "Reset")
    assert panel.wait().startswith("Finished.") and panel.values == initial
    assert train.finished[-1] == initial and train.runs[-1].made == 20


def test_buttons_and_sliders_in_any_order_from_several_threads(make):
    train = Train(updates=30, seconds=0.001)
    panel = make(train)

    def storm(seed):
        rng = random.Random(seed)
        for _ in range(60):
            moves = [
                lambda: panel._pause(not panel._paused),
                lambda: press(panel, "Step"),
                lambda: press(panel, "Reset"),
                lambda: panel.set(gamma=rng.randrange(101) / 100),
                lambda: setattr(panel._controls["lr"], "value", 10 ** rng.uniform(-4, 0)),
            ]
            rng.choice(moves)()
            time.sleep(rng.choice([0, 0.002, 0.005]))

    for thread in [in_thread(storm, seed) for seed in range(4)]:
        thread.join()
    words = panel.wait()
    assert panel._paused == (panel._pause_button.description == "Resume")
    assert words.startswith("Paused" if panel._paused else "Finished")
    panel._pause(False)
    assert panel.wait().startswith("Finished.")
    assert train.finished[-1] == panel.values and train.runs[-1].finished


@pytest.mark.parametrize(
    "values, words",
    [
        ({"gama": 0.5}, "no control 'gama'; it has gamma, lr, agents, seed"),
        ({"gamma": 1.01}, "gamma must be a number from 0 to 1, but is 1.01"),
        ({"gamma": float("nan")}, "gamma must be a number"),
        ({"gamma": "0.5"}, "but is '0.5'"),
        ({"gamma": True}, "but is True"),
        ({"gamma": np.array([0.1, 0.2])}, "gamma must be a number"),
        ({"lr": 0}, "lr must be a number from 0.0001 to 1, but is 0"),
        ({"agents": 3}, "agents must be one of"),
        ({"agents": True}, "agents must be one of"),
        ({"agents": np.array([1, 4])}, "agents must be one of"),
        ({"seed": 2.5}, "seed must be a whole number from 0"),
        ({"seed": -1}, "seed must be a whole number from 0"),
        ({"gamma": 0.5, "lr": 7}, "lr must be a number"),
    ],
)
def test_set_refuses_slips_and_changes_nothing(make, values, words):
    train, sliders = Train(), {"gamma": live.gamma(), "lr": live.learning_rate(0.01)}
    panel = make(train, **sliders, agents=live.agents(), seed=live.seed())
    panel.wait()
    before = panel.values
    with pytest.raises(SlipError, match=words):
        panel.set(**values)
    panel.wait()
    assert panel.values == before and len(train.runs) == 1
    panel.set(gamma=np.float64(0.25), agents=8, seed=7)  # one run for all of them
    panel.wait()
    _, run = train.runs
    assert run.values == panel.values == before | {"gamma": 0.25, "agents": 8, "seed": 7}


# What a slider and its field take


@pytest.mark.parametrize(
    "slider, ends, places",
    [
        (live.gamma(), (0, 1), [0.5, 0.89, 0.9, 0.901, 0.995]),
        (live.learning_rate(0.025), (1e-4, 1), [0.025, 0.0025, 0.01, 0.1, 0.5]),
        (live.learning_rate(1.0, low=0.1, high=100), (0.1, 100), [1.0, 25.0]),
        (live.slider("q", 0.1, 0.01, 0.6, 0.01), (0.01, 0.6), [0.1, 0.11, 0.29, 0.57]),
        (live.slider("r", -1, -3, 1, 0.25), (-3, 1), [0.25, -2.75]),
        (live.slider("n", 3, 1, 9, 2), (1, 9), [1, 3, 5, 7, 9]),
    ],
)
def test_the_places_of_a_slider_are_the_numbers_that_a_lesson_states(slider, ends, places):
    assert (slider.places[0], slider.places[-1]) == ends == (slider.min, slider.max)
    assert slider.places == sorted(set(slider.places)) and set(places) <= set(slider.places)
    bar, field, _ = slider.children
    assert (bar.min, bar.max, bar.step) == (0, len(slider.places) - 1, 1)
    for number, place in enumerate(slider.places):
        bar.value = number
        assert slider.value == place and float(field.value) == pytest.approx(place, rel=1e-3)
        slider.value = place
        assert bar.value == number and slider.value == place
    controls.close(slider)


@pytest.mark.parametrize("text", ["0.995", "0,95", " 1 ", "0.12345", ".5", "1e-3", "0.990"])
def test_a_typed_number_is_taken_as_it_is(text):
    slider, seen = live.gamma(0.99), []
    slider.observe(lambda change: seen.append(change.new), "value")
    bar, field, note = slider.children
    field.value, value = text, float(text.replace(",", "."))
    assert slider.value == value and seen == [value] * (value != 0.99)
    assert abs(slider.places[bar.value] - value) <= 0.005
    assert field.value == f"{value:.4g}" and note.value == ""
    controls.close(slider)


@pytest.mark.parametrize("text", ["", "1.5", "-0.1", "nan", "high", "0,9,5", "1e400", "0x1", "½"])
def test_what_the_field_cannot_take_stays_there_with_a_sentence(make, text):
    train = Train()
    panel = make(train)
    panel.wait()
    slider = panel._controls["gamma"]
    bar, field, note = slider.children
    field.value = text
    assert panel.wait().startswith("Finished.") and len(train.runs) == 1
    assert slider.value == 0.9 and field.value == text
    assert note.value == "a number from 0 to 1, please"
    field.value = "0.9"
    assert note.value == ""
    field.value = text
    bar.value += 1
    assert panel.wait() and field.value == "0.901" and note.value == ""


def test_a_slider_of_whole_numbers_takes_whole_numbers():
    slider = live.slider("agents", 4, 1, 8, 1)
    _, field, note = slider.children
    for text, value in [("5", 5), ("2.5", 5), ("8", 8), ("9", 8)]:
        field.value = text
        assert slider.value == value and type(slider.value) is int
    assert note.value == "a whole number from 1 to 8, please"
    controls.close(slider)


def test_a_slider_refuses_to_begin_outside():
    with pytest.raises(SlipError, match=r"discount gamma: 1.5 is not from 0 to 1\."):
        live.gamma(1.5)


# Errors


@each_place
@pytest.mark.parametrize("error", [KeyError("<lost>"), SystemExit("bye"), SlipError("Too hot.")])
def test_an_error_is_told_and_the_next_move_works(make, monkeypatch, place, error):
    monkeypatch.setattr(panel_module, "FRAME_SECONDS", 0)  # each update is drawn
    picture = Picture()
    panel = make(picture.train, picture)
    assert panel.wait().startswith("Finished.") and shown(panel) == b"1, 4"
    picture.broken, picture.error = place, error
    panel.set(gamma=0.5)
    words = panel.wait()
    if isinstance(error, SlipError):
        assert words == "Stopped: Too hot."
    else:
        assert f"an error ({type(error).__name__}: " in words and "last good state" in words
    assert "<lost>" not in panel._status.value  # escaped
    last_good = {"update": b"2, 2", "add": b"2, 0", "rows": b"2, 0"}
    assert shown(panel) == last_good.get(place, b"1, 4")
    press(panel, "Pause", "Step", "Resume")  # there is nothing to go on with
    assert panel.wait() == words
    picture.broken = None
    panel.set(gamma=0.6)
    assert panel.wait().startswith("Finished.") and "gamma 0.6" in panel._table.value


class Unspeakable(Exception):
    def __str__(self):
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [Unspeakable(), type("Slip", (Unspeakable, SlipError), {})()])
def test_the_last_good_state_stays_in_sight_even_if_an_error_has_no_words(make, monkeypatch, error):
    monkeypatch.setattr(panel_module, "FRAME_SECONDS", 60)  # the second update comes too soon
    picture = Picture()
    picture.broken, picture.error = "update", error
    panel = make(picture.train, picture)
    assert "an error that cannot be told in words" in panel.wait()
    assert shown(panel) == b"1, 2" and "2 updates" in panel._table.value
    picture.broken = None
    panel.set(gamma=0.6)
    assert panel.wait().startswith("Finished.")


def test_values_that_come_while_an_update_fails_are_not_lost(make):
    moved, train = threading.Event(), Train()

    def start(**values):
        if values["gamma"] == 0.9:
            yield Item(0.1)
            moved.wait(LATE)
            raise ValueError("too late to matter")
        yield from train(**values)

    panel = make(start)
    until(lambda: panel.latest)
    panel.set(gamma=0.4)
    moved.set()
    assert panel.wait().startswith("Finished.") and train.finished[0]["gamma"] == 0.4


# In the foreground, as tests and authors run notebooks


def test_in_the_foreground_all_is_done_when_a_call_returns(foreground):
    train, picture, threads = Train(seconds=0), Picture(), threading.active_count()
    panel = LivePanel(train, picture, gamma=live.gamma(0.9), seed=live.seed())
    assert train.finished == [{"gamma": 0.9, "seed": 0}] and panel.latest == Item(1.0)
    panel._controls["gamma"].value = 0.1
    panel.set(gamma=0.2, seed=3)
    press(panel, "Pause")
    panel.set(gamma=0.3)
    assert panel.wait(0).startswith("Paused at 0%")
    press(panel, "Step")
    assert train.runs[-1].made == 1
    press(panel, "Reset")
    finished = [(values["gamma"], values["seed"]) for values in train.finished]
    assert finished == [(0.9, 0), (0.1, 0), (0.2, 3), (0.9, 0)]
    assert threading.active_count() == threads and panel.wait(0).startswith("Finished.")
    assert picture.fine == 0  # what a notebook stores
    panel.close()


@each_place
@pytest.mark.parametrize("error", [KeyError("lost"), SlipError("Too hot."), KeyboardInterrupt()])
def test_in_the_foreground_errors_are_raised(foreground, place, error):
    picture = Picture()
    panel = LivePanel(picture.train, picture, gamma=live.gamma(0.9))
    picture.broken, picture.error = place, error
    for move in (
        lambda: panel.set(gamma=0.5),
        lambda: setattr(panel._controls["gamma"], "value", 0.4),
        lambda: LivePanel(picture.train, picture, gamma=live.gamma(0.9)),
    ):
        with pytest.raises(type(error)):
            move()
    picture.broken = None
    panel.set(gamma=0.6)
    assert panel.wait(0).startswith("Finished.")
    panel.close()


@pytest.mark.parametrize("value", ["", "0", "1", "yes"])
def test_what_a_notebook_stores(monkeypatch, value):
    monkeypatch.setenv("COURSE_FOREGROUND", value)
    assert in_foreground() == (value in ("1", "yes"))
    controls = {"gamma": live.gamma(0.9), "lr": live.learning_rate(0.01)}
    panel = LivePanel(Train(seconds=0), Picture(), **controls)
    panel.wait()
    bundle = panel._repr_mimebundle_(include=None, exclude=None)
    data, metadata = bundle if in_foreground() else (bundle, {})
    text = "Live panel with controls: discount gamma, initial learning rate."
    view = "application/vnd.jupyter.widget-view+json"
    assert data["text/plain"] == text and data[view]["model_id"] == panel._box.model_id
    assert set(data) == {"text/plain", view} | ({"image/png"} if in_foreground() else set())
    if in_foreground():
        assert base64.b64decode(data["image/png"]) == b"1, 20"
        alt = metadata["image/png"]["alt"]
        assert "after its first run. discount gamma 0.9, initial learning rate 0.01: 20" in alt
    panel.close()


# What a panel leaves behind


def test_closing_stops_training_and_frees_all(make):
    known = set(ipywidgets_widget._instances)
    train, moved = Train(updates=1000, seconds=0.01), live.gamma(0.9)
    panel = make(train, gamma=moved)
    until(lambda: train.made >= 2)
    with pytest.raises(TimeoutError, match=r"still training after 0\.05 seconds: wait longer"):
        panel.wait(0.05)
    press(panel, "Keep")
    assert panel._picture.kept == 1 and "kept once" in panel._table.value  # at once
    worker = panel._worker
    panel.close()
    worker.join(LATE)
    assert not worker.is_alive() and train.runs[0].closed and not train.finished
    moved.value = 0.1
    panel.set(gamma=0.2)
    press(panel, "Step", "Reset")
    panel._keep()  # its button may be pressed before the page knows, and its errors are lost
    assert panel.wait() == "This panel is closed. Run its cell again for a new one."
    assert len(train.runs) == 1 and set(ipywidgets_widget._instances) <= known
    panel.close()  # twice does no harm


def test_a_closed_panel_is_forgotten(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND", raising=False)
    panel = LivePanel(Train(), Picture(), gamma=live.gamma(0.9))
    panel.wait()
    panel.close()
    ghost = weakref.ref(panel)
    del panel
    gc.collect()
    assert ghost() is None


@pytest.fixture
def run(make, monkeypatch):
    """A function that runs a cell, of some page, which makes panels."""
    shell = SimpleNamespace(execution_count=0)
    monkeypatch.setattr(controls, "get_ipython", lambda: shell)
    monkeypatch.setattr(controls, "_made", {})

    def run(cell, page="one", panels=1):
        metadata = {"cellId": cell} if cell else {}
        shell.get_parent = lambda: {"metadata": metadata, "header": {"session": page}}
        shell.execution_count += 1
        return [make(Train()) for _ in range(panels)]

    return run


def closed(panels):
    return [panel._closed for panel in panels]


def test_a_cell_run_again_closes_the_panels_that_it_made(run):
    panels = run("a", panels=2) + run("b") + run("a")
    assert closed(panels) == [True, True, False, False]
    panels = run(None) + run(None)  # of a shell that names no cell
    assert closed(panels) == [False, False]


def test_a_copy_of_the_notebook_on_the_same_kernel_keeps_its_own_panels(run):
    panels = [panel for page in ("one", "two", "one", "two") for panel in run("a", page)]
    assert closed(panels) == [True, True, False, False]
    panels += run("a", "three") + run("a", "four")  # pages loaded again are not kept for ever
    assert closed(panels) == [True, True, True, True, False, False]


LEFT_TRAINING = """
import threading, time, torch
from helpers import live

def train(gamma):
    matrix = torch.eye(700)
    while True:
        matrix = matrix @ matrix
        yield live.Item([gamma], fraction=0.5)

def make():
    picture = live.Picture(live.Bars(names=["gamma"], xlabel="gamma"))
    panels.append(live.LivePanel(train, picture, gamma=live.gamma(0.9)))

panels = []
thread = threading.Thread(target=make, daemon=True)  # as a slider's messages are heard in one
thread.start()
thread.join()
while panels[0].latest is None:
    time.sleep(0.01)
"""


def test_python_can_end_while_a_panel_trains(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND")
    command = [sys.executable, "-c", LEFT_TRAINING]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0 and not done.stderr, done.stderr


def test_no_thread_to_be_had_and_the_next_move_works(make, monkeypatch):
    train = Train()
    panel = make(train)
    panel.wait()
    full = RuntimeError("can't start new thread")
    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match="new thread"):
        patch.setattr(threading.Thread, "start", Mock(side_effect=full))
        panel.set(gamma=0.5)
    panel.set(gamma=0.6)
    assert panel.wait().startswith("Finished.") and len(train.runs) == 2


def test_a_number_in_place_of_a_control_gets_a_sentence():
    with pytest.raises(
        SlipError, match=r"gamma needs a control, such as slider\(\.\.\.\), but is 0.9"
    ):
        LivePanel(Train(), learning_curves(), gamma=0.9)


def test_a_pointer_changes_what_is_shown_and_trains_nothing(make):
    picture, train, pointed = Picture(), Train(), []
    picture.rows = lambda: [("solid", "settings", f"looks at {pointed[-1]}")]
    sliders = {"gamma": live.gamma(0.5), "place": live.slider("place", 1, 0, 5, 1)}
    look = {"look": lambda place: pointed.append(place), "pointers": ["place"]}
    panel = make(train, picture, **look, **sliders)
    panel.wait()
    assert [run.values for run in train.runs] == [{"gamma": 0.5}] and pointed == [1]
    sliders["place"].value = 4
    assert panel.wait().startswith("Finished.")
    assert len(train.runs) == 1 and pointed == [1, 4] and "looks at 4" in panel._table.value
    panel.set(place=2, gamma=0.7)
    panel.wait()
    assert train.runs[-1].values == {"gamma": 0.7} and pointed[-1] == 2 and len(train.runs) == 2
    panel.close()
    sliders["place"].value = 3
    assert pointed[-1] == 2


# How often it draws, and how finely


def test_it_draws_at_most_twenty_pictures_a_second(make):
    picture, times = Picture(), []
    picture.png = lambda scale=1: times.append(time.monotonic()) or b"drawn"
    train = Train(updates=300, seconds=0.001)
    make(train, picture).wait()
    assert len(times) <= 5 + (times[-1] - times[0]) / panel_module.FRAME_SECONDS < 300


def test_the_picture_that_stays_is_drawn_finely(make):
    picture = Picture()
    panel = make(Train(), picture)
    panel.wait()
    assert picture.fine == 1 and panel._image.layout.width == "500px"  # the same size on the page
    press(panel, "Step")
    assert panel.wait().startswith("Paused") and picture.fine == 2
    press(panel, "Resume")
    assert panel.wait().startswith("Finished") and picture.fine == 3
    press(panel, "Pause", "Resume", "Keep")  # nothing to draw
    panel.wait()
    assert picture.fine == 3


def test_nobody_waits_for_the_fine_picture(make, monkeypatch):
    """Words, the next run and the end of the thread come at once; a drag draws finely at its end."""
    monkeypatch.setattr(panel_module, "QUIET_SECONDS", 1000)
    train, picture = Train(), Picture()
    panel = make(train, picture)
    until(lambda: "Finished." in panel._words)
    panel.set(gamma=0.5)
    until(lambda: len(train.finished) == 2 and "Finished." in panel._words)
    press(panel, "Step")
    until(lambda: panel._words.startswith("Paused at 5%"))
    press(panel, "Resume")
    until(lambda: len(train.finished) == 3)
    worker = panel._worker
    panel.close()
    worker.join(LATE)
    assert not worker.is_alive() and picture.fine == 0


# On CartPole


def cartpole(**values):
    return a2c("CartPole-v1", **CARTPOLE | {"total_steps": 12_288} | values)


@pytest.mark.parametrize("agents", [1, 8])
def test_every_slider_at_its_ends(make, agents):
    sliders = {"gamma": live.gamma(), "lr": live.learning_rate(0.007)}
    panel = make(cartpole, learning_curves(), **sliders, agents=live.agents(agents))
    assert panel.wait().startswith("Finished. Mean return of recent training episodes: ")
    for gamma in (0.0, 1.0):
        for lr in (sliders["lr"].min, sliders["lr"].max):
            panel.set(gamma=gamma, lr=lr)
            words = panel.wait()
            assert words.startswith("Finished.") and panel.latest.fraction == 1
            if lr < 1 or agents == 1:
                assert re.search(r"Mean return of .*: \d|deterministic|no longer a number", words)
            else:
                assert re.search(r"of \d of 8 agents (has become determ|is no longer)", words)
            assert f"discount gamma {gamma:g}" in panel._table.value


def test_an_interrupted_wait_leaves_the_panel_usable(make):
    """However often and wherever it comes: a lock that stays taken would stop the panel for good."""
    panel = make(Train(updates=1))
    panel.wait()
    for n in range(400):
        timer = threading.Timer(0.001 + 1e-5 * (n % 50), _thread.interrupt_main)
        with pytest.raises(KeyboardInterrupt):
            timer.start()
            while timer.is_alive():
                panel.wait()
            panel.wait()
        timer.join()
    free = []
    in_thread(
        lambda: free.append(panel._lock.acquire(timeout=1) and not panel._lock.release())
    ).join()
    assert free == [True]


# What a train function may do wrong


@pytest.mark.parametrize(
    "returned, words",
    [
        (None, "Stopped: train(...) returned nothing, not a generator of items"),
        (3, "Stopped: train(...) returned int, not a generator of items"),
        (Item(1.0)._asdict, "Stopped: train(...) returned method, not a generator of items"),
        (Item(1.0), "Finished. Now at 1.00."),
        ([Item(0.5), Item(1.0)], "Finished. Now at 1.00."),
    ],
)
def test_what_train_may_return(make, returned, words):
    assert make(lambda **values: returned).wait().startswith(words)


@pytest.mark.parametrize("fractions", [[0.3], [0.1, 0.3], []])
def test_a_run_that_ends_early_says_so(make, fractions):
    panel = make(lambda **values: map(Item, fractions))
    share = "30%" if fractions else "0%"
    assert panel.wait().startswith(f"Ended at {share}: there is nothing more to train.")
    assert shown(panel) == f"1, {len(fractions)}".encode()
    press(panel, "Pause", "Resume")
    assert panel.wait().startswith("Ended at")
