"""Mark a class: run each notebook handed in, and say who solved which exercise.

Of a file its code is taken and nothing else, no stored output and no kernel's name. It belongs to
the lessons whose checks it calls, or else to the one whose title it has; its own name says nothing.
"""

import csv
import os
import re
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import nbformat

from helpers import checks
from helpers.checks import supervised
from helpers.errors import SlipError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STATUSES = ("passed", "failed", "awaiting")
MOST_BYTES = 50_000_000
CALL = re.compile(r"^checks\.(\w+)\(\w+\)\Z", re.MULTILINE)  # ends an exercise's cell
HIDDEN = re.compile(r"(^|/)(\.|__MACOSX/)")
TITLE = re.compile(r"^# (.+)", re.MULTILINE)


class Exercise(NamedTuple):
    number: str
    name: str  # of its check
    cell: str  # its source before any attempt


class Lesson(NamedTuple):
    title: str
    exercises: list


class Mark(NamedTuple):
    """A row of the table: the status of each exercise by number, or why it did not run."""

    name: str
    statuses: dict
    reason: str = ""

    def __str__(self):
        found = [*self.statuses.values()]
        counts = [f"{found.count(s)} {s}" for s in STATUSES if s in found]
        return f"did not run: {self.reason}" if self.reason else ", ".join(counts)


def lessons():
    """All lessons of the course, from their own notebooks."""
    return [_lesson(path) for path in notebooks_in(NOTEBOOKS)]


def notebooks_in(place):
    """All notebooks in a folder and the folders in it, but for hidden ones; or the file alone."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise SlipError(f"{place} is no folder and no file.")
    found = [path for path in sorted(place.rglob("*.ipynb")) if path.is_file()]
    return [path for path in found if not HIDDEN.search(path.relative_to(place).as_posix())]


def hand_ins(places):
    """[(name, path)] of the notebooks in these folders and files; a name has the folders that tell
    two files apart. Raises SlipError where there is none."""
    files = [os.path.abspath(path) for place in places for path in notebooks_in(Path(place))]
    paths = [Path(file) for file in dict.fromkeys(files)]
    if not paths:
        raise SlipError("No notebook (*.ipynb) is named, and none is in a folder that is named.")
    try:
        shared = Path(os.path.commonpath([path.parent for path in paths]))
    except ValueError:  # on several drives
        shared = Path()
    return [(_shown(Path(*path.parts[len(shared.parts) :])), path) for path in paths]


def mark(name, path, course, minutes, megabytes):
    """The Mark of one notebook, whatever is in it; course are the lessons()."""
    exercises = []
    try:
        title, code = _read(path)
        exercises = _exercises(title, code, course)
        latest = supervised.run(code, minutes, megabytes)
    except SlipError as error:
        statuses = {exercise.number: "did not run" for exercise in exercises}
        return Mark(name, statuses, reason=_plain(str(error)))
    return Mark(name, {e.number: _status(e, code, latest.get(e.number)) for e in exercises})


def table(marks):
    """The marks as lines of text, those of one lesson together."""
    width = max(len(mark.name) for mark in marks)
    lines = []
    for numbers, group in groupby(sorted(marks, key=_columns), _columns):
        header = " ".join([" " * width, *(f"{_dotted(number):11}" for number in numbers)]).rstrip()
        lines += ["", header] if numbers else [""]
        for mark in group:
            cells = [str(mark)] if mark.reason else [f"{s:11}" for s in mark.statuses.values()]
            lines.append(" ".join([mark.name.ljust(width), *cells]).rstrip())
    return lines


def write_csv(path, marks):
    """The marks as comma-separated values: a row for each notebook, a column for each exercise."""
    numbers = [_dotted(n) for n in sorted({n for mark in marks for n in _columns(mark)})]
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *numbers, "why it did not run"])
        for name, statuses, reason in marks:
            writer.writerow([name, *(statuses.get(number, "") for number in numbers), reason])


def _lesson(path):
    title, code = _read(path)
    found = [(call[1], source) for source in code if (call := CALL.search(source))]
    exercises = [Exercise(getattr(checks, name).number, name, cell) for name, cell in found]
    return Lesson(title, exercises)


def _read(path):
    """Title and sources of the code cells; raises SlipError."""
    try:
        if not path.stat().st_size:
            raise SlipError("the file is empty")
        if path.stat().st_size > MOST_BYTES:
            raise SlipError(f"the file has more than {MOST_BYTES / 1e6:g} MB")
        cells = nbformat.reads(path.read_text(encoding="utf-8-sig"), as_version=4).cells
        sources = [(cell.cell_type, cell.source.strip()) for cell in cells]
    except SlipError:
        raise
    except Exception as error:  # a broken file may fail anywhere
        raise SlipError(f"the file is no notebook ({type(error).__name__})") from None
    title = TITLE.search("\n".join(source for kind, source in sources if kind == "markdown"))
    return title and title[1].strip(), [s for kind, s in sources if kind == "code" and s]


def _exercises(title, code, course):
    if not code:
        raise SlipError("the notebook has no code")
    called = set(re.findall(r"\bchecks\.(\w+)", "\n".join(code)))
    by_checks = [each for each in course if called & {e.name for e in each.exercises}]
    belongs_to = by_checks or [each for each in course if each.title == title]
    if not belongs_to:
        raise SlipError("the notebook is no lesson of this course")
    return [exercise for each in belongs_to for exercise in each.exercises]


def _status(exercise, code, latest):
    """latest: what its last check found, if any. A bug that nobody touched awaits its attempt; what
    never gets to its own check has failed."""
    calls = [source for source in code if f"checks.{exercise.name}(" in source]
    if latest != "passed" and calls == [exercise.cell]:
        return "awaiting"
    if latest in STATUSES:
        return latest
    return "failed" if calls else "awaiting"


def _shown(path):
    """A file's name on one line, and never a formula for a spreadsheet."""
    name = _plain(path.as_posix())
    return f"./{name}" if name[0] in "=+-@" else name


def _plain(text):
    return "".join(c if c.isprintable() else "?" for c in text)


def _columns(mark):
    return [tuple(map(int, number.split("."))) for number in mark.statuses]


def _dotted(number):
    return ".".join(map(str, number))
