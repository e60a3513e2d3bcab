"""README's paths through the lessons and lesson 00's map: what a lesson needs comes before it, and the
minutes are those measured."""

import re
from pathlib import Path

import pytest
from lesson_cells import PATHS, read
from reading_time import minutes
from test_reading_time import by_number

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PATH = re.compile(
    r"^\*\*(.+)\*\*, ([\d.]+) hours(?:, or ([\d.]+) without)?.*\n\n((?:- .*\n)+)", re.MULTILINE
)
ITEM = re.compile(r"^- \[(\d\d)\]\(notebooks/\S+\) [^:]+: (\d+) minutes(?:; (.*) may be skipped)?")
HELPFUL = re.compile(r"For section .* helps\.|and, if you've read it,.*")
EDGE = re.compile(r"^ *L(\d\d)(?:\[.*?\])? --> L(\d\d)", re.MULTILINE)
SAID = re.compile(r"essons? ([\d, and]+)(?: each)?(?: builds?)? on lesson (\d\d)")
LESSONS = {path.stem[:2]: read(path) for path in PATHS}
MAP = "\n".join(cell.source for cell in LESSONS["00"].cells)
ALL = PATH.findall(README[README.index("### Three paths") :])
each_path = pytest.mark.parametrize(
    "hours, short, lines", [path[1:] for path in ALL], ids=[name for name, *_ in ALL]
)


def items(lines):
    """(lesson, minutes, sections to skip) of each item; None for the sections: all of them."""
    for line in lines.splitlines():
        number, stated, skipped = ITEM.match(line).groups()
        whole = line.endswith(" minutes; may be skipped")
        yield number, int(stated), None if whole else numbers(skipped or "")


def numbers(text):
    """The whole numbers that a text names; "4 to 6" are three of them."""
    spans = re.findall(r"(\d+) to (\d+)", text)
    between = {n for first, last in spans for n in range(int(first), int(last) + 1)}
    return {*map(int, re.findall(r"\d+", text)), *between}


def needs(nb):
    """The lessons that "You need" names, without those that only help."""
    text = "\n".join(cell.source for cell in nb.cells)
    line = re.search(r"^(?:\*\*You need\*\*|You need) .*$", text, re.MULTILINE)[0]
    lessons = re.findall(r"\b[01]\d\b(?: to [01]\d\b)?", HELPFUL.sub("", line))
    return {f"{n:02}" for n in numbers(", ".join(lessons))}


def test_there_are_three():
    assert [name for name, *_ in ALL] == ["A weekend", "Language models", "Control"]


@each_path
def test_minutes_and_hours_are_those_measured(hours, short, lines):
    total = saved = 0
    for number, stated, skipped in items(lines):
        nb = LESSONS[number]
        assert stated == pytest.approx(minutes(nb), abs=3), number
        total += minutes(nb)
        saved += minutes(nb) if skipped is None else sum(by_number(nb)[k] for k in skipped)
    assert float(hours) == pytest.approx(total / 60, abs=0.3)
    assert float(short or hours) == pytest.approx((total - saved) / 60, abs=0.3)


@each_path
def test_what_a_lesson_needs_comes_before_it(hours, short, lines):
    known = set()
    for number, _, skipped in items(lines):
        assert needs(LESSONS[number]) <= known, number
        known |= set() if skipped is None else {number}


def before(number, edges):
    """All lessons from which arrows lead to this one."""
    direct = {first for first, second in edges if second == number}
    return direct.union(*(before(first, edges) for first in direct))


def test_the_map_leads_to_each_lesson_from_what_it_needs():
    edges = EDGE.findall(MAP)
    assert {number for edge in edges for number in edge} == set(LESSONS)
    assert [n for n, nb in LESSONS.items() if not needs(nb) <= before(n, edges)] == []


def test_the_maps_description_has_the_same_arrows():
    (words,) = re.findall(r"accDescr: Lessons 00 to 05 form a chain\. (.*)", MAP)
    said = {
        (first, second)
        for others, first in SAID.findall(words)
        for second in re.findall(r"\d\d", others)
    }
    chain = {(f"{k:02}", f"{k + 1:02}") for k in range(5)}
    assert said | chain == set(EDGE.findall(MAP))
