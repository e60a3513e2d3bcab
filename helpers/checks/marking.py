"""Mark a class: run each notebook handed in, and say who solved which exercise.

Of a file its code is taken and nothing else, no stored output and no kernel's name. It belongs to
the lessons whose checks it calls; its own name says nothing.
"""

import csv
import json
import os
import re
from pathlib import Path
from typing import NamedTuple

import psutil

from helpers import checks
from helpers.checks import supervised
from helpers.errors import SlipError

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
STATUSES = ("passed", "failed", "awaiting")
MOST_BYTES = 50_000_000
CALL = re.compile(r"^checks\.(\w+)\(\w+\)\Z", re.MULTILINE)  # ends an exercise's cell


class Exercise(NamedTuple):
    number: str
    name: str  # of its check
    cell: str  # its source before any attempt


class Mark(NamedTuple):
    """A row of the table: the status of each exercise by number, or why it did not run."""

    name: str
    statuses: dict
    reason: str = ""

    def __str__(self):
        found = [*self.statuses.values()]
        counts = [f"{found.count(s)} {s}" for s in STATUSES if s in found]
        return f"did not run: {self.reason}" if self.reason else ", ".join(counts)


def hand_ins(places):
    """[(name, path)] of the notebooks in these folders, hidden ones apart, and of these files.
    Raises SlipError where there is none."""
    found = []
    for place in map(Path, places):
        if not place.exists():
            raise SlipError(f"{place} is no folder and no file.")
        alone = place.is_dir() and len(places) == 1
        paths = _notebooks_in(place) if place.is_dir() else [place]
        found += [(_shown(path.relative_to(place) if alone else path), path) for path in paths]
    if not found:
        raise SlipError("No notebook (*.ipynb) is named, and none is in a folder that is named.")
    return found


def lessons():
    """The exercises of each lesson of the course, from its own notebook."""
    return [exercises_of(path) for path in sorted(NOTEBOOKS.glob("*.ipynb"))]


def exercises_of(path):
    """The exercises of a lesson as it is handed out."""
    try:
        code = _code(path)
    except SlipError as error:
        raise SlipError(f"The course's own {path.name}: {error}.") from None
    found = [(call[1], source) for source in code if (call := CALL.search(source))]
    return [Exercise(getattr(checks, name).number, name, cell) for name, cell in found]


def mark(name, path, course, minutes, megabytes):
    """The Mark of one notebook, whatever is in it; course are the lessons()."""
    exercises = []
    try:
        code = _code(path)
        exercises = _exercises(code, course)
        latest = supervised.run(code, minutes, megabytes)
    except (SlipError, OSError, psutil.Error) as error:  # a full disk, no process to be had
        return Mark(name, {e.number: "did not run" for e in exercises}, str(error))
    return Mark(name, {e.number: _status(e, code, latest.get(e.number)) for e in exercises})


def table(marks):
    """The marks as lines of text, those of one lesson together."""
    width = max(len(mark.name) for mark in marks)
    lines = []
    for numbers in sorted(
        {tuple(mark.statuses) for mark in marks}, key=lambda ns: [*map(_place, ns)]
    ):
        lines += ["", " ".join([" " * width, *(f"{n:11}" for n in numbers)]).rstrip()]
        for mark in marks:
            if tuple(mark.statuses) == numbers:
                cells = [str(mark)] if mark.reason else [f"{s:11}" for s in mark.statuses.values()]
                lines.append(" ".join([mark.name.ljust(width), *cells]).rstrip())
    return lines


def write_csv(path, marks):
    """The marks as comma-separated values: a row for each notebook, a column for each exercise."""
    numbers = sorted({number for mark in marks for number in mark.statuses}, key=_place)
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", *numbers, "why it did not run"])
        for name, statuses, reason in marks:
            writer.writerow([name, *(statuses.get(number, "") for number in numbers), reason])


def _notebooks_in(folder):
    """By its end alone, as a student's broken link wants a row too."""
    found = [
        Path(root, name)
        for root, folders, names in os.walk(folder, onerror=_unreadable)
        for name in (*folders, *names)
    ]
    for path in sorted(found):
        hidden = any(re.match(r"\.|__MACOSX$", part) for part in path.relative_to(folder).parts)
        if path.suffix.lower() == ".ipynb" and not hidden:
            yield path


def _unreadable(error):
    raise SlipError(f"{error.filename} cannot be read: {error.strerror}.")


def _shown(path):
    """A file's name on one line, and never a formula for a spreadsheet."""
    name = "".join(c if c.isprintable() else "?" for c in path.as_posix())
    return f"./{name}" if name[0] in "=+-@" else name


def _code(path):
    """Sources of the code cells; raises SlipError."""
    try:
        size = path.stat().st_size
        if 0 < size <= MOST_BYTES:
            cells = json.loads(path.read_text(encoding="utf-8-sig"))["cells"]
            code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
            return [source.strip() for source in code if source.strip()]
    except OSError as error:
        raise SlipError(f"the file cannot be read ({error.strerror})") from None
    except Exception as error:  # a broken file may fail anywhere
        raise SlipError(f"the file is no notebook ({type(error).__name__})") from None
    raise SlipError(
        f"the file has more than {MOST_BYTES / 1e6:g} MB" if size else "the file is empty"
    )


def _exercises(code, course):
    """All exercises of the lessons of which it calls a check; raises SlipError."""
    if not code:
        raise SlipError("the notebook has no code")
    called = set(re.findall(r"\bchecks\.(\w+)", "\n".join(code)))
    found = [lesson for lesson in course if called & {exercise.name for exercise in lesson}]
    if not found:
        raise SlipError("the notebook calls no check of this course")
    return [exercise for lesson in found for exercise in lesson]


def _status(exercise, code, latest):
    """latest: what its last check found, if any. A bug that nobody touched awaits its attempt; what
    never gets to its own check has failed."""
    calls = [source for source in code if f"checks.{exercise.name}(" in source]
    if latest != "passed" and calls == [exercise.cell]:
        return "awaiting"
    if latest in STATUSES:
        return latest
    return "failed" if calls else "awaiting"


def _place(number):
    return [int(part) for part in number.split(".")]
