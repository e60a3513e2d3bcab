"""Figures with alt text, and the live picture: its layers, lines, ghosts and table."""

import base64
import gc
import io
import itertools
import re
import warnings
import weakref

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from helpers import plots
from helpers.networks import Actor
from helpers.plots import COLOURS, LearningCurve, band, show
from helpers.training import Progress

UPDATES, STEPS = 20, 1000
NAMED = {"blue": "blue", "orange-red": "vermilion", "green": "green", "pink": "purple"}


def progress(update, returns, *, entropy=0.5, updates=UPDATES, actor=None):
    """Update number 1, 2, ... of a run whose agents have these returns."""
    returns = torch.tensor(returns, dtype=torch.float32)
    loss = torch.zeros_like(returns)
    entropies = torch.full_like(returns, entropy)
    head = STEPS * update, update / updates
    return Progress(*head, returns, loss, loss, entropies, actor, episodes=3 * update)


def run(picture, label, level, *, updates=UPDATES, until=UPDATES, draw=True):
    """One flat run of three agents around a level."""
    picture.restart(label)
    for update in range(1, until + 1):
        spread = [level - 20, level, level + 20]
        picture.add(progress(update, spread, entropy=level / 800, updates=updates))
        if draw:
            picture.png()


def pixels(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image)


def coloured(picture, level, colour):
    """The share of pixels of this colour along a height of the axis of returns."""
    axes = picture.figure.axes[0]
    x, y = axes.transData.transform([[STEPS * 1.5, level], [STEPS * (UPDATES - 0.5), level]]).T
    image = pixels(picture.png())
    row = image[len(image) - 1 - int(y[0]), int(x[0]) : int(x[1])]
    return (np.abs(row - np.array(to_rgb(colour)) * 255).max(1) < 40).mean()


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: a list of (data, metadata)."""
    calls = []

    def display(data, metadata, raw):
        calls.append((data, metadata))

    monkeypatch.setattr(plots, "display", display)
    return calls


@pytest.mark.parametrize("foreground", [True, False])
def test_show_stores_the_alt_text_and_closes_the_figure(shown, monkeypatch, foreground):
    monkeypatch.setenv("COURSE_FOREGROUND", "1" if foreground else "")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    axes.set(xlabel="step", ylabel="return")
    show(figure, 'A line that "rises" from 1 < 2.')
    [(data, metadata)] = shown
    assert metadata == {"image/png": {"alt": 'A line that "rises" from 1 < 2.'}}
    assert pixels(base64.b64decode(data["image/png"])).shape[2] == 4
    assert plt.get_fignums() == [] and data["text/plain"] == "A figure."
    assert ("text/html" in data) != foreground
    if not foreground:
        assert 'alt="A line that &quot;rises&quot; from 1 &lt; 2."' in data["text/html"]


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_show_refuses_a_figure_without_alt_text(shown, alt):
    figure = plt.figure()
    with pytest.raises(ValueError, match="needs alt text"):
        show(figure, alt)
    assert shown == []
    plt.close(figure)


def test_a_band_is_the_mean_and_the_middle_of_the_runs():
    figure, axes = plt.subplots()
    runs = np.random.default_rng(0).normal(size=(10, 4))
    runs[:, 0], runs[3, 1] = np.nan, np.nan  # nothing known at first; one run a little later
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = band(axes, [10, 20, 30, 40], runs, "ten runs", color=COLOURS["green"])
    assert line.get_label() == "ten runs" and list(line.get_xdata()) == [20, 30, 40]
    others = np.delete(runs[:, 1], 3)
    assert np.allclose(line.get_ydata(), [others.mean(), runs[:, 2].mean(), runs[:, 3].mean()])
    edges = axes.collections[0].get_paths()[0].vertices
    at_30 = np.unique(edges[edges[:, 0] == 30, 1])
    assert np.allclose([at_30.min(), at_30.max()], np.percentile(runs[:, 2], [10, 90]))
    plt.close(figure)


def test_the_table_names_the_lines_that_are_drawn():
    """Colour and style of each row's line, found in the pixels at the height of its run."""
    picture = LearningCurve()
    levels = {"first": 100, "second": 200, "third": 300, "fourth": 400}
    for label, level in levels.items():
        run(picture, label, level)
    rows = picture.rows()
    assert [label for _, label, _ in rows] == ["fourth", "third", "second", "first"]
    for look, label, result in rows:
        colour, style = look.split(", ")
        share = coloured(picture, levels[label], COLOURS[NAMED[colour]])
        assert share > 0.97 if style == "solid" else 0.2 < share < 0.9
        assert result == f"Mean return of recent training episodes: {levels[label]:.1f}."
        others = set(NAMED.values()) - {NAMED[colour]}
        assert all(coloured(picture, levels[label], COLOURS[other]) == 0 for other in others)


def test_at_most_three_ghosts_the_newest():
    picture = LearningCurve()
    for k in range(6):
        run(picture, f"run {k}", 60 * (k + 1), draw=False)
    assert [label for _, label, _ in picture.rows()] == ["run 5", "run 4", "run 3", "run 2"]
    assert coloured(picture, 60, COLOURS["blue"]) == coloured(picture, 120, COLOURS["blue"]) == 0


def test_each_run_holds_its_colour_and_a_kept_one_stays():
    picture, colours = LearningCurve(), {}
    picture.keep()  # before there is a run: nothing to keep
    for k in range(10):
        run(picture, f"run {k}", 40 * (k + 1), draw=False)
        if k in (0, 5):
            picture.keep()
        for look, label, _ in picture.rows():
            assert colours.setdefault(label, look.split(",")[0]) == look.split(",")[0]
        assert len({look.split(",")[0] for look, _, _ in picture.rows()}) == min(k + 1, 4)
        labels = [label for _, label, _ in picture.rows()]
        assert labels[0] == f"run {k}" and ("run 0" in labels) == (k <= 5)
        kept = [label for look, label, _ in picture.rows() if look.endswith("kept")]
        assert kept == ["run 0" if k < 5 else "run 5"]
    assert labels == ["run 9", "run 8", "run 7", "run 5"]
    picture.keep()
    picture.keep()  # let go again
    assert not any(look.endswith("kept") for look, _, _ in picture.rows())


def test_a_kept_run_stays_however_short():
    picture = LearningCurve()
    run(picture, "short", 200, until=1)
    picture.keep()
    for k in range(5):
        run(picture, f"run {k}", 300)
    assert picture.rows()[-1][:2] == ("blue, dashed, kept", "short")


def test_curves_may_be_drawn_against_episodes():
    picture = LearningCurve(against="episodes")
    run(picture, "run", 200)
    left, right = picture.figure.axes
    assert left.get_xlim() == right.get_xlim() == (0, 3 * UPDATES)
    assert (left.get_xlabel(), right.get_xlabel()) == ("episodes of each agent", "episodes")


def test_only_runs_that_got_a_quarter_of_their_way_become_ghosts():
    picture = LearningCurve()
    for label, until in [("long", 20), ("none", 0), ("short", 4), ("quarter", 5), ("one", 1)]:
        run(picture, label, 200, until=until)
    picture.restart("now")
    assert [label for _, label, _ in picture.rows()] == ["now", "quarter", "long"]
    assert picture.rows()[0][2] == "Starting."


def test_each_agent_is_a_thin_line():
    picture = LearningCurve()
    run(picture, "run", 200)
    assert coloured(picture, 260, COLOURS["blue"]) == 0
    for level in (180, 220):
        axes = picture.figure.axes[0]
        x, y = axes.transData.transform((STEPS * 10.5, level))
        image = pixels(picture.png())
        patch = image[len(image) - 2 - int(y) : len(image) + 1 - int(y), int(x)].astype(int)
        red, _, blue = patch[patch.sum(1).argmin()]
        assert blue - red > 30  # bluish


def test_the_picture_keeps_its_size():
    picture, sizes = LearningCurve(), set()
    sizes.add(pixels(picture.png()).shape)
    for updates in (20, 100, 7):
        run(picture, "run", 500, updates=updates, until=7, draw=False)
        sizes.add(pixels(picture.png()).shape)
    assert sizes == {(340, 860, 3)}


def history(picture, *, draw):
    """Runs of several lengths, cancelled and finished, with NaN in them."""
    if draw:
        picture.png()
    run(picture, "first", 400, draw=draw)
    run(picture, "cancelled", 10, until=3, draw=draw)
    run(picture, "touching the axes", 0, updates=20, until=12, draw=draw)
    picture.restart("current")
    for update in range(1, 8):
        known = [float("nan")] * 3 if update < 3 else [50.0 * update, float("nan"), 20.0]
        picture.add(progress(update, known, entropy=0.69 - 0.05 * update, updates=40))
        if draw:
            picture.png()


def test_a_frame_laid_over_stored_layers_is_a_full_drawing():
    """Pixel by pixel: against the same picture drawn anew, and one that drew no frame before."""
    picture, late = LearningCurve(), LearningCurve()
    history(picture, draw=True)
    frame = pixels(picture.png())
    history(late, draw=False)
    assert np.array_equal(pixels(late.png()), frame)
    picture.redraw_axes()
    assert np.array_equal(pixels(picture.png()), frame)


def test_a_frame_is_what_matplotlib_draws_by_itself():
    """Without layers; only where a line crosses the frame of the axes may the two differ."""
    picture = LearningCurve()
    history(picture, draw=True)
    frame = pixels(picture.png())
    for k, line in enumerate([*picture.still, *picture.moving]):
        line.set(animated=False, zorder=2 + k / 100)  # in the order of the layers
    picture.figure.canvas.draw()
    plain = np.asarray(picture.figure.canvas.buffer_rgba())[..., :3]
    differ = (frame != plain).any(2)
    for axes in picture.figure.axes:
        box = axes.bbox
        top, bottom = len(frame) - int(box.y1), len(frame) - int(box.y0)
        left, right = int(box.x0), int(box.x1)
        inside = differ[top : bottom - 3, left + 3 : right - 2]
        assert not inside.any()
        differ[top - 2 : bottom + 3, left - 2 : right + 3] = False
    assert not differ.any()


def test_returns_and_entropies_that_are_no_numbers():
    picture, nan = LearningCurve(), float("nan")
    picture.restart("run")
    empty = picture.png()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for update in (1, 2, 3):
            picture.add(progress(update, [nan, nan], entropy=nan))
            picture.png()
        assert picture.rows()[0][2] == "No episode has ended yet."
        picture.restart("next")
    assert pixels(picture.png()).shape == pixels(empty).shape


def test_an_axis_of_numbers_needs_a_label(shown):
    figure, (top, bottom) = plt.subplots(2, sharex=True)
    bottom.set(xlabel="step", ylabel="return")
    top.set(yticks=[0, 1], yticklabels=["gamma 0", "gamma 0.5"])
    show(figure, "The axis of steps is shared, the upper y axis has words.")
    assert len(shown) == 1
    for missing in ({"xlabel": "step"}, {"ylabel": "return"}, {"xlabel": "step", "yscale": "log"}):
        figure, axes = plt.subplots()
        axes.plot([1, 100])
        axes.set(**missing)
        with pytest.raises(ValueError, match="needs a label"):
            show(figure, "A line.")
        plt.close(figure)
    picture = LearningCurve()
    picture.figure.axes[1].set_xlabel("")
    with pytest.raises(ValueError, match="The x axis"):
        picture.png()


def test_pictures_never_touch_pyplot():
    picture = LearningCurve()
    run(picture, "run", 100, until=2)
    assert plt.get_fignums() == []


def test_memory_does_not_grow_with_the_updates():
    """Each item holds a snapshot of the actor: of each run that is shown the last may stay."""
    picture, actors = LearningCurve(), []
    for _ in range(6):
        picture.restart("run")
        for update in range(1, UPDATES + 1):
            actors.append(actor := Actor(4, 2, hidden=(2,)))
            picture.add(progress(update, [1.0], actor=actor))
        picture.png()
    actors = [weakref.ref(actor) for actor in actors]
    del actor
    gc.collect()
    assert sum(reference() is not None for reference in actors) <= 1 + plots.GHOSTS


@pytest.mark.parametrize("updates", [3, 49, 100, 201, 250, 999])
def test_the_numbers_on_the_axes_keep_apart(updates):
    picture = LearningCurve()
    run(picture, "first", 100, updates=updates, until=1)
    canvas = picture.figure.canvas
    for axes in picture.figure.axes:
        labels = [x for x in axes.get_xticklabels() if 0 <= x.get_position()[0] <= 1000 * updates]
        boxes = [label.get_window_extent(canvas.get_renderer()) for label in labels]
        assert len(boxes) >= 2
        assert all(left.x1 + 3 < right.x0 for left, right in itertools.pairwise(boxes))


def test_every_axis_has_a_label_with_its_unit():
    for axes in LearningCurve().figure.axes:
        assert re.search("steps", axes.get_xlabel()) and re.search("return|nats", axes.get_ylabel())
