"""Each lesson's core path fits in 75 minutes, and its table of contents states what is measured."""

import re

import pytest
from lesson_cells import each_lesson, read
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from reading_time import minutes, sections

ROW = re.compile(r"^\| (\d+) .*\| (\d+) \|$", re.MULTILINE)
CORE = re.compile(r"^\| (?!\*optional).*\| (\d+) \|$", re.MULTILINE)
NUMBERED = re.compile(r"(\d+) \w")


def by_number(nb):
    """Minutes of each numbered section, with all that comes under it."""
    found, number = {}, None
    for level, heading, time in sections(nb):
        if level <= 2:
            numbered = NUMBERED.match(heading)
            number = int(numbered[1]) if numbered else None
        found[number] = found.get(number, 0) + time
    return found


@each_lesson
def test_the_core_path_fits(path):
    assert minutes(read(path)) <= 75


@each_lesson
def test_a_slider_comes_within_ten_minutes_and_predictions_are_counted(path):
    nb = read(path)
    first = next(k for k, cell in enumerate(nb.cells) if "LivePanel(" in cell.source)
    assert minutes(new_notebook(cells=nb.cells[:first])) <= 10
    assert sum(cell.source.count("live.predict(") for cell in nb.cells) >= 3
    assert [cell.source for cell in nb.cells].count("live.score()") == 1


@each_lesson
def test_the_minutes_stated_are_those_measured(path):
    nb = read(path)
    measured = by_number(nb)
    stated = {int(number): int(time) for number, time in ROW.findall(nb.cells[0].source)}
    wrong = {n: (time, measured[n]) for n, time in stated.items() if abs(time - measured[n]) > 1}
    assert wrong == {}, "stated, measured"
    if stated:  # lesson 00 has no table
        assert set(stated) == {n for n in measured if n and measured[n] > 0.1}
        # Introduction, summary and recall have a row as well; rounding may add up to 2.
        assert abs(sum(map(int, CORE.findall(nb.cells[0].source))) - minutes(nb)) <= 2.5


def words(count):
    return " ".join(["word"] * count)


def test_what_counts():
    folded = "<details><summary>{}</summary>" + words(200) + "</details>"
    nb = new_notebook(
        cells=[
            new_markdown_cell(f"{words(200)} {folded.format('Hint 1')}"),
            new_markdown_cell(f"## 1 A\n{words(198)} {folded.format('What came out')}"),
            new_code_cell("\n\n".join(["x = 1"] * 11)),
            new_markdown_cell("### Exercise 1.1 · easy, 5 minutes"),
            new_code_cell("live.LivePanel(lr=live.learning_rate())"),
            new_code_cell("live.LivePanel()\nlive.predict()"),
            new_code_cell("plots.show(fig,\n 'alt')"),
            new_markdown_cell(f"## 2 B · *optional*\n{words(999)}\n### C\n{words(999)}"),
            new_code_cell("x = 1"),
            new_markdown_cell(f"## 3 D\n{words(198)}"),
        ]
    )
    found = {heading: time for _, heading, time in sections(nb)}
    assert found[""] == 1
    assert found["1 A"] == pytest.approx(3, abs=0.05)
    assert found["Exercise 1.1 · easy, 5 minutes"] == pytest.approx(12.4, abs=0.1)
    assert [heading for heading in found if heading[0:1] in "2C"] == [""]
    assert by_number(nb)[1] == pytest.approx(15.4, abs=0.1)
    assert found["3 D"] == 1
