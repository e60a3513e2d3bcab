"""The live picture: its layers, lines, ghosts and table."""

import gc
import io
import itertools
import re
import warnings
import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_rgb
from PIL import Image

from helpers.live import Item, Picture, Plane, learning_curves
from helpers.live.picture import GHOSTS
from helpers.networks import Actor
from helpers.plots import COLOURS
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


def labels(picture):
    return [label for _, label, _ in picture.rows()]


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


def test_the_table_names_the_lines_that_are_drawn():
    """Colour and style of each row's line, found in the pixels at the height of its run."""
    picture = learning_curves()
    levels = {"first": 100, "second": 200, "third": 300, "fourth": 400}
    for label, level in levels.items():
        run(picture, label, level)
    assert labels(picture) == ["fourth", "third", "second", "first"]
    for look, label, result in picture.rows():
        colour, style = look.split(", ")
        share = coloured(picture, levels[label], COLOURS[NAMED[colour]])
        assert share > 0.97 if style == "solid" else 0.2 < share < 0.9
        assert result == f"Mean return of recent training episodes: {levels[label]:.1f}."
        others = set(NAMED.values()) - {NAMED[colour]}
        assert all(coloured(picture, levels[label], COLOURS[other]) == 0 for other in others)


def test_each_run_holds_its_colour_and_a_kept_one_stays():
    picture, colours = learning_curves(), {}
    picture.keep()  # before there is a run: nothing to keep
    for k in range(10):
        run(picture, f"run {k}", 40 * (k + 1), draw=False)
        if k in (0, 5):
            picture.keep()
        for look, label, _ in picture.rows():
            assert colours.setdefault(label, look.split(",")[0]) == look.split(",")[0]
        assert len({look.split(",")[0] for look, _, _ in picture.rows()}) == min(k + 1, 4)
        assert labels(picture)[0] == f"run {k}" and ("run 0" in labels(picture)) == (k <= 5)
        kept = [label for look, label, _ in picture.rows() if look.endswith("kept")]
        assert kept == ["run 0" if k < 5 else "run 5"]
    assert labels(picture) == ["run 9", "run 8", "run 7", "run 5"]
    picture.keep()
    picture.keep()  # let go again
    assert not any(look.endswith("kept") for look, _, _ in picture.rows())


def test_a_kept_run_stays_however_short_until_it_is_let_go():
    picture = learning_curves()
    run(picture, "short", 200, until=1, draw=False)
    picture.keep()
    run(picture, "next", 300, draw=False)
    assert picture.rows()[-1][:2] == ("blue, dashed, kept", "short")
    picture.keep()
    picture.restart("last")
    assert labels(picture) == ["last", "next"]
    assert [list(lines[0].get_xdata()) for lines in picture.parts[0].lines[2:]] == [[], []]


def test_curves_may_be_drawn_against_episodes():
    picture = learning_curves(x="episodes")
    run(picture, "run", 200, draw=False)
    assert [axes.get_xlim() for axes in picture.figure.axes] == [(0, 3 * UPDATES)] * 2
    assert picture.figure.axes[0].get_xlabel() == "episodes of each agent"
    picture.add(progress(UPDATES, [200.0] * 3)._replace(episodes=80))  # it is longer than it seemed
    assert [axes.get_xlim() for axes in picture.figure.axes] == [(0, 80)] * 2


def test_only_runs_that_got_a_quarter_of_their_way_become_ghosts():
    picture = learning_curves()
    for label, until in [("long", 20), ("none", 0), ("short", 4), ("quarter", 5), ("one", 1)]:
        run(picture, label, 200, until=until, draw=False)
    picture.restart("now")
    assert labels(picture) == ["now", "quarter", "long"]
    assert picture.rows()[0][2] == "Starting."


def test_each_agent_is_a_thin_line():
    picture = learning_curves()
    run(picture, "run", 200)
    assert coloured(picture, 260, COLOURS["blue"]) == 0
    for level in (180, 220):
        axes = picture.figure.axes[0]
        x, y = axes.transData.transform((STEPS * 10.5, level))
        image = pixels(picture.png())
        patch = image[len(image) - 2 - int(y) : len(image) + 1 - int(y), int(x)].astype(int)
        red, _, blue = patch[patch.sum(1).argmin()]
        assert blue - red > 30  # bluish


def test_neither_the_picture_nor_its_axes_move():
    picture, sizes, boxes = learning_curves(), set(), set()
    for updates in (0, 7, 20, 1_000_000):
        if updates:
            run(picture, "run", 500, updates=updates, until=7, draw=False)
        sizes.add(pixels(picture.png()).shape)
        boxes |= {axes.get_position().bounds for axes in picture.figure.axes}
    assert sizes == {(340, 860, 3)} and len(boxes) == 2


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
    """Pixel by pixel: against the same picture drawn anew, one that drew no frame before, and what
    Matplotlib draws by itself. There the two may differ where a line crosses the frame of the axes."""
    picture, late = learning_curves(), learning_curves()
    history(picture, draw=True)
    frame = pixels(picture.png())
    history(late, draw=False)
    assert np.array_equal(pixels(late.png()), frame)
    picture.redraw_axes()
    assert np.array_equal(pixels(picture.png()), frame)
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
    picture, nan = learning_curves(), float("nan")
    picture.restart("run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for update in (1, 2, 3):
            picture.add(progress(update, [nan, nan], entropy=nan))
            picture.png()
        assert picture.rows()[0][2] == "No episode has ended yet."
        picture.restart("next")
        picture.png()
    assert plt.get_fignums() == []  # pictures never touch pyplot


def test_memory_does_not_grow_with_the_updates():
    """Each item holds a snapshot of the actor: of each run that is shown the last may stay."""
    picture, actors = learning_curves(), []
    for _ in range(6):
        picture.restart("run")
        for update in range(1, UPDATES + 1):
            actors.append(actor := Actor(4, 2, hidden=(2,)))
            picture.add(progress(update, [1.0], actor=actor))
        picture.png()
    actors = [weakref.ref(actor) for actor in actors]
    del actor
    gc.collect()
    assert sum(reference() is not None for reference in actors) <= 1 + GHOSTS


@pytest.mark.parametrize("updates", [3, 49, 100, 200, 201, 250, 999])
def test_the_numbers_on_the_axes_keep_apart_and_none_is_cut_off(updates):
    picture = learning_curves()
    run(picture, "first", 100, updates=updates, until=1)
    for axes in picture.figure.axes:
        assert re.search("steps", axes.get_xlabel()) and re.search("return|nats", axes.get_ylabel())
        labels = [x for x in axes.get_xticklabels() if 0 <= x.get_position()[0] <= 1000 * updates]
        boxes = [label.get_window_extent() for label in labels]
        assert len(boxes) >= 2 and boxes[-1].x1 <= 860
        assert all(left.x1 + 3 < right.x0 for left, right in itertools.pairwise(boxes))
        assert updates != 200 or labels[-1].get_text() == "200k"  # the axes end at a tick


def test_a_fine_picture_is_the_same_twice_as_large():
    picture = learning_curves()
    history(picture, draw=True)
    frame, fine = picture.png(), picture.png(2)
    assert pixels(fine).shape == (680, 1720, 3) and picture.width == 860

    def blurred(png):  # letters differ a little
        image = Image.fromarray(pixels(png)).resize((43, 17), Image.Resampling.BOX)
        return np.asarray(image).astype(int)

    empty = learning_curves().png()
    far, near = (np.abs(blurred(png) - blurred(frame)).max() for png in (empty, fine))
    assert near < 35 < far
    assert picture.png() == frame  # and the next frame is as before


def test_the_table_says_how_earlier_runs_differ():
    picture = Picture(Plane(x=[0, 1], xlim=(0, 1), ylim=(0, 1), xlabel="x", ylabel="y"))
    for settings in (["gamma 0.5", "seed 0"], ["gamma 0.5", "seed 1"], ["gamma 1", "seed 1"]):
        picture.restart(settings)
        picture.add(Item([0, 1], "Done."))
    picture.restart(["gamma 1", "seed 1"])
    told = [settings for _, settings, _ in picture.rows()]
    assert told == ["gamma 1, seed 1", "the same settings", "gamma 0.5", "gamma 0.5, seed 0"]
    assert [result for *_, result in picture.rows()] == ["Starting.", *["Done."] * 3]
    picture.add(SimpleNamespace(value=[0, 1], fraction=1.0))  # an item without words
    assert picture.rows()[0][2] == ""
