"""The parts of live pictures: what each draws of an item, of its ghosts, and what it refuses."""

import math
import re

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from test_picture import pixels

from helpers.errors import SlipError
from helpers.live import (
    Bars,
    Curves,
    Grid,
    Ground,
    Item,
    Judged,
    Map,
    Part,
    Path,
    Picture,
    Plane,
    Strips,
    diverged,
)
from helpers.live.page import table
from helpers.live.parts import short
from helpers.live.picture import LOOKS
from helpers.plots import COLOURS
from helpers.training import Progress

UNIT = {"xlim": (0, 1), "ylim": (0, 1), "xlabel": "x", "ylabel": "y"}
NAMES = {"names": ["answer", "clarify"], "colours": ["#0072B2", "#E69F00"]}


def by_fraction(of=None, **more):
    return Curves(of, x=lambda item: item.fraction, **UNIT | more)


def cells(**more):
    labels = {"xlabel": "learning rate", "ylabel": "gamma", "label": "return"}
    return Map(columns=["a", "b", "c"], rows=["0.9", "1"], ends=(0, 10), **labels | more)


PARTS = {  # how to make each, and two values that it shows differently
    "curves": (by_fraction, [0.1, 0.2], [0.8, 0.9]),
    "path": (lambda: Path(**UNIT), (0.2, 0.2), (0.7, 0.9)),
    "plane": (lambda: Plane(x=[0, 0.5, 1], **UNIT), [0, 1, 0], [1, 0, 1]),
    "bars": (lambda: Bars(names=["a", "b"], xlabel="share"), [0.2, 0.8], [0.9, 0.1]),
    "grid": (lambda: Grid(), np.full(25, 0.3), np.ones(25)),
    "map": (cells, np.zeros((2, 3)), np.full((2, 3), 9)),
    "strips": (lambda: Strips(**NAMES, xlabel="x"), [(0, 0, 1)], [(1, 0, 0.5), (0, 0.5, 1)]),
}
each_part = pytest.mark.parametrize("name", PARTS)


def picture_of(part, *runs, fraction=1.0):
    """A picture of a part, or of several, after runs of these values, and its PNG."""
    picture = Picture(part)
    for values in runs:
        picture.restart("run")
        for n, value in enumerate(values, 1):
            picture.add(Item(value, fraction=fraction * n / len(values)))
    return picture, picture.png()


@each_part
def test_each_part_shows_the_newest_run(name):
    make, first, second = PARTS[name]
    picture, empty = picture_of(make())
    picture.restart("run")
    value = torch.tensor(np.array(first, float), requires_grad=True)
    picture.add(Item(value, fraction=0.1))
    with torch.no_grad():
        value.fill_(0.5)  # the picture has a copy
    _, one = picture_of(make(), [first], fraction=0.1)
    assert picture.png() == one
    picture.add(Item(second, fraction=0.1))
    assert len({empty, one, picture.png()}) == 3
    picture.restart("next")  # the one before got too little of its way to stay
    assert name == "grid" or picture.png() == empty  # values stay until there are new ones


@pytest.mark.parametrize("name", ["curves", "path", "plane", "bars", "strips"])
def test_ghosts_stay_until_three_others_have_come(name):
    make, first, second = PARTS[name]
    for others, stays in ((3, True), (4, False)):
        picture, png = picture_of(make(), [first] * 2, *[[second] * 2] * others)
        _, without = picture_of(make(), *[[second] * 2] * (others + 1))
        assert (png != without) == stays and len(picture.rows()) == 4


@each_part
def test_numbers_that_are_none_are_drawn_as_nothing(name):
    make, first, _ = PARTS[name]
    nothing = np.empty((0, 3)) if name == "strips" else np.array(first, float) * math.nan
    assert len(picture_of(make(), [nothing])[1]) > 1000


# What a part refuses


@pytest.mark.parametrize("name", [name for name in PARTS if name != "strips"])
def test_another_shape_is_a_slip_that_names_the_part(name):
    make, first, _ = PARTS[name]
    picture, _ = picture_of(make(), [first])
    wrong = np.array(first)[..., 1:]
    shapes = f"{np.shape(first)}, but its function returned the shape {wrong.shape}"
    with pytest.raises(SlipError, match=rf"^The part '.+' shows .* the shape {re.escape(shapes)}"):
        picture.add(Item(wrong))
    assert len(picture.png()) > 1000 and picture.runs[-1].last.value is first


def test_another_run_may_have_other_agents():
    _, png = picture_of(by_fraction(), *[np.linspace(0, 1, agents)[None] for agents in (4, 1, 8)])
    assert len(png) > 1000


@pytest.mark.parametrize(
    "name, value, said",
    [
        ("curves", None, "The part 'y' needs numbers, but .* returned nothing"),
        ("curves", "ten", "needs numbers, but .* returned 'ten'"),
        ("curves", [[1], [1, 2]], "needs numbers, but .*1, 2"),
        ("strips", [0, 1], "three numbers for each stretch"),
    ],
)
def test_what_is_no_number_is_a_slip(name, value, said):
    with pytest.raises(SlipError, match=said):
        picture_of(PARTS[name][0](), [value])


def test_a_curve_that_does_not_know_its_steps_says_so():
    with pytest.raises(SlipError, match="needs numbers, but its function returned nothing"):
        picture_of(Curves(ylabel="y", ylim=(0, 1)), [1.0])


def test_a_part_belongs_to_one_picture():
    part = Path(**UNIT)
    Picture(part)
    with pytest.raises(SlipError, match="'y' is in a picture already"):
        Picture(part)


def test_a_part_is_called_by_its_title_its_label_or_its_kind():
    named = Part(title="t", ylabel="y"), Part(xlabel="x"), Part()
    assert [part.name for part in named] == ["t", "x", "Part"]


# Curves


def curve(picture, *values, start=1):
    for n, value in enumerate(values, start):
        picture.add(Item(value, fraction=n / 10))
    picture.png()
    return picture.parts[0]


def test_a_curve_is_the_mean_and_each_agent_a_thin_line():
    part = curve(Picture(by_fraction()), [0.0, 0.4], [0.2, 0.6])
    assert list(part.lines[0][0].get_xdata()) == [0.1, 0.2]
    assert part.lines[0][0].get_ydata() == pytest.approx([0.2, 0.4])
    assert part._each.get_ydata() == pytest.approx(
        [0, 0.2, math.nan, 0.4, 0.6, math.nan], nan_ok=True
    )
    assert [*part._here.get_xdata(), *part._here.get_ydata()] == pytest.approx([0.2, 0.4])
    assert len(curve(Picture(by_fraction()), 0.5, 0.6)._each.get_ydata()) == 1  # a single NaN


def test_a_dot_lies_within_the_axes_or_nowhere():
    assert len(curve(Picture(by_fraction()), 0.5, 1.5)._here.get_xdata()) == 0
    assert len(curve(Picture(by_fraction()), 0.5, math.nan)._here.get_xdata()) == 0


def test_a_goal_is_a_line_with_its_number_or_moves():
    still = Picture(by_fraction(goal=0.75))
    assert [text.get_text() for text in still.figure.axes[0].texts] == ["goal 0.75"]
    moving = Picture(by_fraction(lambda item: item.value[0], goal=lambda item: item.value[1]))
    assert list(curve(moving, (0.1, 0.3), (0.1, 0.6))._level.get_ydata()) == [0.6, 0.6]


def test_without_limits_the_axes_follow_the_curve():
    part = Curves(lambda item: item.value, x=lambda item: 1000 * item.fraction, ylabel="loss")
    picture = Picture(part)
    curve(picture, 0.002, 0.004)
    assert part.axes.get_xlim() == (0, 1000) and part.axes.get_ylim() == pytest.approx((0, 0.005))
    curve(picture, -3.0, math.nan, start=3)
    assert part.axes.get_ylim() == pytest.approx((-3.75, 0.005))


def test_the_last_number_of_the_axis_lies_within_the_picture():
    picture = Picture(Curves(lambda item: 0.5, x=lambda item: 500 * item.fraction, ylabel="y"))
    curve(picture, 0.1, 0.9)
    picture.figure.draw_without_rendering()
    *_, last = picture.figure.axes[0].get_xticklabels()
    assert last.get_text() == "500" and last.get_color() != "none"
    assert last.get_window_extent().x1 <= picture.figure.bbox.x1


def test_numbers_of_steps_are_short():
    numbers = [0, 0.5, 7500, 12_500, 100_000, 999_000, 1e6, 2.5e6, -20_000]
    short_ones = "0 0.5 7500 12.5k 100k 999k 1M 2.5M -20k"
    assert " ".join(map(short, numbers)) == short_ones


# The others


def test_bars_and_the_marks_of_ghosts():
    part = Bars(names=["a", "b", "c"], xlabel="share")
    picture_of(part, [[0.5, 0.3, 0.2]], [[0.1, math.nan, 0.7]])
    assert [bar.get_width() for bar in part._bars] == [0.1, 0, 0.7]
    mark = part.lines[1][0]
    assert [list(axis) for axis in mark.get_data()] == [[0.5, 0.3, 0.2], [0, 1, 2]]
    assert to_hex(mark.get_color()).upper() == COLOURS["blue"]


def test_a_mark_lies_over_the_bar():
    part = Bars(names=["a"], xlabel="share")
    _, png = picture_of(part, [[0.5]], [[0.9]])
    seen = pixels(png)
    x, y = part.axes.transData.transform((0.5, 0)).round().astype(int)
    assert to_hex(seen[len(seen) - y, x] / 255).upper() == COLOURS["blue"]
    assert to_hex(part._bars[0].get_facecolor()).upper() == COLOURS["vermilion"]


def test_named_lines_have_colours_that_no_run_has_and_then_the_table_names_none():
    part = Plane(x=[0, 1], names=["left", "right"], **UNIT)
    picture, _ = picture_of(part, [[[0, 1], [1, 0]]], [[[0.5, 1], [0.5, 0]]])
    assert {line.get_color() for line in part.moving}.isdisjoint(COLOURS[run] for run, *_ in LOOKS)
    assert [look for look, *_ in picture.rows()] == ["", ""] and ">line<" not in table(
        picture.rows()
    )
    picture.keep()
    assert [look for look, *_ in picture.rows()] == ["kept", ""] and ">line<" in table(
        picture.rows()
    )


def test_a_plane_of_named_lines_has_a_legend_and_no_ghosts():
    part = Plane(x=[0, 1], names=["left", "right"], **UNIT)
    picture_of(part, [[[0, 1], [1, 0]]], [[[0.5, 1], [0.5, 0]]])
    assert [list(line.get_ydata()) for line in part.moving] == [[0.5, 1], [0.5, 0]]
    assert [text.get_text() for text in part.axes.get_legend().get_texts()] == ["left", "right"]
    assert part.still == []


def test_a_plane_may_have_other_places_in_another_run():
    part = Plane(lambda item: item.value[1], x=lambda item: item.value[0], **UNIT)
    picture_of(part, [([0, 1], [0, 1])], [([0, 0.5, 1], [1, 0, 1])])
    assert [len(lines[0].get_xdata()) for lines in part.lines] == [3, 2, 0, 0]


def test_a_path_follows_the_edge_and_ghosts_end_in_a_dot():
    part = Path(**UNIT)
    picture_of(part, [(0.1, 0.2), (0.5, 0.5)], [(0.1, 0.2), (-3.0, 9.0)])
    assert part.lines[0][0].get_xydata().tolist() == [[0.1, 0.2], [0, 1]]
    assert part.lines[0][1].get_xydata().tolist() == [[0, 1]]
    assert part.lines[1][1].get_xydata().tolist() == [[0.5, 0.5]]


def test_a_ground_is_drawn_again_only_when_it_changes():
    slopes, counts = [], set()

    def draw(axes, slope):
        slopes.append(slope)
        axes.plot([0, 1], [0, slope])
        axes.clabel(axes.contour([[0, 1], [1, slope]]))

    ground = Ground(draw, lambda item: item.value[0])
    picture = Picture((ground, Path(lambda item: item.value, **UNIT)))
    for slope in (2, 2, 5, 5, 2):
        picture.add(Item((slope, 0.5)))
        picture.png()
        counts.add(len(ground.axes.get_children()))
    assert slopes == [2, 5, 2] and len(counts) <= 2  # contours may have more or fewer labels
    still = Picture((Ground(lambda axes: axes.plot([0, 1], [1, 0])), Path(**UNIT)))
    assert len(still.figure.axes[0].lines) == 1 + 2 * 4


def test_strips_of_each_run_and_one_below_other_parts():
    part, one = Strips(**NAMES, xlabel="x"), Strips(**NAMES, between=(0, 1))
    runs = [[(0, 0, 1)]], [[(1, 0, 0.25), (0, 0.25, 1)]]
    picture_of(part, *runs)
    picture_of((one, Path(lambda item: (0, 0), **UNIT)), *runs)
    shown = [len(strip._bands.get_paths()) for strip in part._strips]
    assert shown == [2, 1, 0, 0] and len(one._strips) == 1
    letters = [text.get_text() for text in part._strips[0]._letters if text.get_visible()]
    assert [letter for letter in letters if letter] == ["c", "a"]


def test_a_map_colours_a_cell_for_each_agent_and_frames_one():
    part, values = cells(), np.zeros((2, 3))
    values[1, 2], values[0, 1] = 10, math.nan
    picture, plain = picture_of(part, [values])
    axes, image = picture.figure.axes[0], pixels(plain).astype(int)

    def colour(row, column):
        x, y = axes.transData.transform((column, row)).astype(int)
        return image[len(image) - 1 - y, x]

    assert colour(0, 0).sum() < 250 < colour(1, 2).sum()  # dark, bright
    assert colour(0, 1).tolist() == [255] * 3  # what is no number is left blank
    part.cursor = (1, 2)
    framed = picture.png()
    assert framed != plain and part._frame.get_xy() == (1.5, 0.5)
    part.cursor = None
    assert picture.png() == plain
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.9", "1"]


def test_a_grid_without_a_policy_has_no_arrows():
    values, policy = np.linspace(-1, 1, 25), np.tile([0.0, 1, 0, 0], (25, 1))
    picture, plain = picture_of(Grid(), [values])
    assert picture_of(Grid(policy=lambda item: policy), [values])[1] != plain
    assert not picture.parts[0].moving[1].get_visible()


# Words


def test_what_came_to_nothing_is_said_in_the_same_words_everywhere():
    nan, one = torch.full((1,), math.nan), torch.ones(1)
    progress = Progress(1, 1.0, one, nan, nan, one, None, 1)
    state = torch.full((1, 25), math.nan), torch.zeros(1, 25), torch.full((1, 25, 4), 0.25)
    judged = Judged(1.0, 1, *state, torch.zeros(1, 25), 1.0)
    for said in (progress.words(), judged.words(), diverged("the policy")):
        assert re.fullmatch(r"Diverged: .+ is no longer a number\. Lower the learning rate\.", said)
