"""The parts of live pictures: what each draws of an item, of its ghosts, and what it refuses."""

import io
import math
import re

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from PIL import Image

from helpers.errors import SlipError
from helpers.live import (
    Bars,
    Curves,
    Grid,
    Ground,
    Item,
    Judged,
    LivePanel,
    Map,
    Part,
    Path,
    Picture,
    Plane,
    Strips,
    diverged,
    slider,
)
from helpers.live.parts import short
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


@each_part
def test_each_part_shows_the_newest_run(name):
    make, first, second = PARTS[name]
    picture = Picture(make())
    empty = picture.png()
    picture.restart("run")
    drawn = []
    for value in (first, second):
        picture.add(Item(value, fraction=0.1))
        drawn.append(picture.png())
    assert len({empty, *drawn}) == 3
    picture.restart("next")  # the one before got too little of its way to stay
    assert name == "grid" or picture.png() == empty  # values stay until there are new ones


@each_part
def test_each_part_takes_tensors_and_remembers_copies(name):
    make, first, _ = PARTS[name]
    picture, other = Picture(make()), Picture(make())
    value = torch.tensor(np.array(first, float), requires_grad=True)
    picture.add(Item(value))
    with torch.no_grad():
        value.fill_(0.5)
    other.add(Item(first))
    assert picture.png() == other.png()


@pytest.mark.parametrize("name", ["curves", "path", "plane", "bars", "strips"])
def test_ghosts_stay_until_three_others_have_come(name):
    make, first, second = PARTS[name]
    picture, pictures = Picture(make()), []
    for value in (first, *[second] * 7):
        picture.restart("run")
        for fraction in (0.5, 1.0):
            picture.add(Item(value, fraction=fraction))
        pictures.append(picture.png())
    assert len(picture.rows()) == 4
    first_pushed_out = Picture(make())
    for value in [second] * 8:
        first_pushed_out.restart("run")
        for fraction in (0.5, 1.0):
            first_pushed_out.add(Item(value, fraction=fraction))
        same = first_pushed_out.png() == pictures[len(first_pushed_out.rows()) - 1]
        assert not same or len(first_pushed_out.rows()) == 4
    assert first_pushed_out.png() == pictures[-1]


@each_part
def test_numbers_that_are_none_are_drawn_as_nothing(name):
    make, first, _ = PARTS[name]
    picture = Picture(make())
    if name == "strips":
        picture.add(Item(np.empty((0, 3))))
    else:
        picture.add(Item(np.array(first, float) * math.nan))
    assert len(picture.png()) > 1000


# What a part refuses


@pytest.mark.parametrize(
    "name, wrong, shapes",
    [
        ("curves", [0.1, 0.2, 0.3], r"\(2,\), but its function returned the shape \(3,\)"),
        ("path", [0.1], r"\(2,\), .* \(1,\)"),
        ("plane", [0, 1], r"\(3,\), .* \(2,\)"),
        ("bars", [0.5], r"\(2,\), .* \(1,\)"),
        ("grid", np.zeros(24), r"\(25,\), .* \(24,\)"),
        ("map", np.zeros((3, 2)), r"\(2, 3\), .* \(3, 2\)"),
    ],
)
def test_another_shape_is_a_slip_that_names_the_part(name, wrong, shapes):
    make, first, _ = PARTS[name]
    part = make()
    picture = Picture(part)
    picture.add(Item(first))
    with pytest.raises(SlipError, match=rf"^The part '.+' shows numbers of the shape {shapes}"):
        picture.add(Item(wrong))
    assert len(picture.png()) > 1000 and picture.runs[-1].last.value is first


def test_another_run_may_have_other_agents():
    picture = Picture(by_fraction())
    for agents in (4, 1, 8):
        picture.restart(f"{agents} agents")
        picture.add(Item(np.linspace(0, 1, agents)))
        assert len(picture.png()) > 1000


@pytest.mark.parametrize(
    "value, said", [(None, "nothing"), ("ten", "'ten'"), ([[1], [1, 2]], "1, 2")]
)
def test_what_is_no_number_is_a_slip(value, said):
    with pytest.raises(SlipError, match=rf"The part 'y' needs numbers, but .* returned .*{said}"):
        Picture(by_fraction()).add(Item(value))


def test_a_strip_needs_three_numbers_for_each_stretch():
    with pytest.raises(SlipError, match=r"three numbers for each stretch"):
        Picture(Strips(**NAMES, xlabel="x")).add(Item([0, 1]))


def test_a_part_belongs_to_one_picture():
    part = Path(**UNIT)
    Picture(part)
    with pytest.raises(SlipError, match="'y' is in a picture already"):
        Picture(part)


def test_a_panel_says_which_part_got_another_shape(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND", raising=False)

    def train(x):
        yield Item([0.1, 0.2], fraction=0.5)
        yield Item([0.1], fraction=1.0)

    panel = LivePanel(train, Picture(by_fraction()), x=slider("x", 0, 0, 1, 1))
    assert panel.wait().startswith("Stopped: The part 'y' shows numbers of the shape (2,)")
    panel.close()


def test_a_part_is_called_by_its_title_its_label_or_its_kind():
    assert [
        Part(**names).name for names in ({"title": "t", "ylabel": "y"}, {"xlabel": "x"}, {})
    ] == [
        "t",
        "x",
        "Part",
    ]


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


@pytest.mark.parametrize(
    "number, text",
    [
        (0, "0"),
        (0.5, "0.5"),
        (7500, "7500"),
        (12_500, "12.5k"),
        (100_000, "100k"),
        (999_000, "999k"),
        (1e6, "1M"),
        (2.5e6, "2.5M"),
        (-20_000, "-20k"),
    ],
)
def test_numbers_of_steps_are_short(number, text):
    assert short(number) == text


# The others


def test_bars_and_the_marks_of_ghosts():
    picture = Picture(Bars(names=["a", "b", "c"], xlabel="share"))
    for value in ([0.5, 0.3, 0.2], [0.1, math.nan, 0.7]):
        picture.restart("run")
        picture.add(Item(value))
    picture.png()
    (part,) = picture.parts
    assert [bar.get_width() for bar in part._bars] == [0.1, 0, 0.7]
    assert [list(axis) for axis in part.lines[1][0].get_data()] == [[0.5, 0.3, 0.2], [0, 1, 2]]
    assert to_hex(part.lines[1][0].get_color()).upper() == COLOURS["blue"]


def test_a_plane_of_named_lines_has_a_legend_and_no_ghosts():
    part = Plane(x=[0, 1], names=["left", "right"], **UNIT)
    picture = Picture(part)
    for value in ([[0, 1], [1, 0]], [[0.5, 1], [0.5, 0]]):
        picture.restart("run")
        picture.add(Item(value))
    picture.png()
    assert [list(line.get_ydata()) for line in part.moving] == [[0.5, 1], [0.5, 0]]
    assert [text.get_text() for text in part.axes.get_legend().get_texts()] == ["left", "right"]
    assert part.still == []


def test_a_plane_may_have_other_places_in_another_run():
    part = Plane(lambda item: item.value[1], x=lambda item: item.value[0], **UNIT)
    picture = Picture(part)
    for value in (([0, 1], [0, 1]), ([0, 0.5, 1], [1, 0, 1])):
        picture.restart("run")
        picture.add(Item(value))
    picture.png()
    assert [len(lines[0].get_xdata()) for lines in part.lines] == [3, 2, 0, 0]


def test_a_path_follows_the_edge_and_ghosts_end_in_a_dot():
    part = Path(**UNIT)
    picture = Picture(part)
    for way in ([(0.1, 0.2), (0.5, 0.5)], [(0.1, 0.2), (-3.0, 9.0)]):
        picture.restart("run")
        for place in way:
            picture.add(Item(place))
    picture.png()
    assert part.lines[0][0].get_xydata().tolist() == [[0.1, 0.2], [0, 1]]
    assert part.lines[0][1].get_xydata().tolist() == [[0, 1]]
    assert part.lines[1][1].get_xydata().tolist() == [[0.5, 0.5]]


def test_a_ground_is_drawn_again_only_when_it_changes():
    drawn = []

    def draw(axes, slope):
        drawn.append(slope)
        axes.plot([0, 1], [0, slope])
        axes.clabel(axes.contour([[0, 1], [1, slope]]))

    ground = Ground(draw, lambda item: item.value[0])
    picture = Picture((ground, Path(lambda item: item.value, **UNIT)))
    counts = set()
    for slope in (2, 2, 5, 5, 2):
        picture.add(Item((slope, 0.5)))
        picture.png()
        counts.add(len(ground.axes.get_children()))
    assert drawn == [2, 5, 2] and len(counts) <= 2  # contours may have more or fewer labels
    still = Picture((Ground(lambda axes: axes.plot([0, 1], [1, 0])), Path(**UNIT)))
    assert len(still.figure.axes[0].lines) == 1 + 2 * 4


def test_strips_of_each_run_and_one_below_other_parts():
    part, one = Strips(**NAMES, xlabel="x"), Strips(**NAMES, between=(0, 1))
    picture = Picture(part, (one, Path(lambda item: (0, 0), **UNIT)))
    for value in ([(0, 0, 1)], [(1, 0, 0.25), (0, 0.25, 1)]):
        picture.restart("run")
        picture.add(Item(value))
    picture.png()
    shown = [len(strip._bands.get_paths()) for strip in part._strips]
    assert shown == [2, 1, 0, 0] and len(one._strips) == 1
    letters = [text.get_text() for text in part._strips[0]._letters if text.get_visible()]
    assert [letter for letter in letters if letter] == ["c", "a"]


def colour_of(picture, row, column):
    """The colour at the middle of a map's cell."""
    image = np.asarray(Image.open(io.BytesIO(picture.png())))
    x, y = picture.figure.axes[0].transData.transform((column, row)).astype(int)
    return image[len(image) - 1 - y, x].astype(int)


def test_a_map_colours_a_cell_for_each_agent_and_frames_one():
    part = cells()
    picture = Picture(part)
    values = np.zeros((2, 3))
    values[1, 2], values[0, 1] = 10, math.nan
    picture.add(Item(values))
    assert colour_of(picture, 0, 0).sum() < 250 < colour_of(picture, 1, 2).sum()  # dark, bright
    assert colour_of(picture, 0, 1).tolist() == [255] * 3  # what is no number is left blank
    plain = picture.png()
    part.cursor = (1, 2)
    framed = picture.png()
    assert framed != plain and part._frame.get_xy() == (1.5, 0.5)
    part.cursor = None
    assert picture.png() == plain
    axes = picture.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["a", "b", "c"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0.9", "1"]


def test_a_grid_without_a_policy_has_no_arrows():
    values, policy = np.linspace(-1, 1, 25), np.tile([0.0, 1, 0, 0], (25, 1))
    plain, arrows = Picture(Grid()), Picture(Grid(policy=lambda item: policy))
    for picture in (plain, arrows):
        picture.add(Item(values))
    assert plain.png() != arrows.png()
    assert not plain.parts[0].moving[1].get_visible()


# Words


def test_what_came_to_nothing_is_said_in_the_same_words_everywhere():
    nan, one = torch.full((1,), math.nan), torch.ones(1)
    progress = Progress(1, 1.0, one, nan, nan, one, None, 1)
    state = torch.full((1, 25), math.nan), torch.zeros(1, 25), torch.full((1, 25, 4), 0.25)
    judged = Judged(1.0, 1, *state, torch.zeros(1, 25), 1.0)
    for said in (progress.words(), judged.words(), diverged("the policy")):
        assert re.fullmatch(r"Diverged: .+ is no longer a number\. Lower the learning rate\.", said)
