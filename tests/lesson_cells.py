"""A stored lesson's cells, to run some and read what they printed; and seeds for claims."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from execute_notebooks import BLANK_LINE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
EXAMPLE = Path(__file__).parent / "example_lesson" / "two_arms.ipynb"

each_lesson = pytest.mark.parametrize("path", [*PATHS, EXAMPLE], ids=lambda path: path.stem)


def read(path):
    """The notebook, in nbformat's current form."""
    return nbformat.read(path, as_version=4)


def each_seed(name, seeds):
    """Parametrise a test of a claim: the first of the seeds (or sets of them) belongs to the long
    tests, the others run with all that stands behind the claims, by `pytest -m evidence`."""
    marks = [pytest.mark.hardening, *[pytest.mark.evidence] * (len(seeds) - 1)]
    cases = [pytest.param(seed, marks=mark) for seed, mark in zip(seeds, marks)]
    return pytest.mark.parametrize(name, cases)


def each_end(**controls):
    """Parametrise a test by `settings`, a dictionary of ends (low, high): all low, all high, and, under
    the marker hardening, all but one high, so that of any two controls all four pairs occur."""
    lows, highs = ({name: ends[k] for name, ends in controls.items()} for k in (0, 1))
    others = [highs | {name: lows[name]} for name in controls]
    others = [pytest.param(one, marks=pytest.mark.hardening) for one in others]
    return pytest.mark.parametrize(
        "settings", [lows, highs, *others], ids=lambda s: f"{[*s.values()]}"
    )


def sampled(lessons, shift):
    """The lessons that a long test takes, of a list: all; or each fifth, another with each number,
    where COURSE_SAMPLE is one (in .ci/run, whose time is limited, the number of commits). The five
    longest tests have shifts from 0 to 4: each lesson goes through one of them."""
    turn = os.environ.get("COURSE_SAMPLE")
    if not turn:
        return lessons
    return [path for path in lessons if (int(turn) + shift - int(path.stem[:2])) % 5 == 0]


class Lesson:
    """The lesson of this number or path. A cell goes by its id, or a text that no other has."""

    def __init__(self, lesson):
        named = isinstance(lesson, Path)
        (self.path,) = [lesson] if named else NOTEBOOKS.glob(f"{lesson:02}_*.ipynb")
        self.cells = {cell.id: cell for cell in read(self.path).cells}

    def code(self):
        """All code cells, in order."""
        return [cell for cell in self.cells.values() if cell.cell_type == "code"]

    def cell(self, name):
        """The cell of this id, or the code cell that holds this text."""
        if name in self.cells:
            return self.cells[name]
        (cell,) = [cell for cell in self.code() if name in cell.source]
        return cell

    def run(self, *cells, **names):
        """What these cells define, run in this order, beside the names that they are given."""
        for name in cells:
            exec(self.cell(name).source, names)
        return names

    def asked(self):
        """The ids of the cells that ask for a prediction, in order."""
        return [cell.id for cell in self.code() if "live.predict(" in cell.source]

    def came_out(self, ask, *cells, **names):
        """The options of the prediction asked in a cell that come out, each being guessed in turn. The
        last of the cells that follow reveals it; names are what the cells are given."""
        names = self.run(ask, **names)
        (name,) = re.findall(r"^(\w+) = live\.predict\(", self.cell(ask).source, re.MULTILINE)
        prediction, right = names[name], []
        names = self.run(*cells[:-1], **names)
        for option in prediction.options:
            prediction._guess.value = option
            self.run(cells[-1], **names)
            right += [option] if prediction.right else []
        prediction.close()
        return right

    def said(self, name):
        """What this cell printed, as it is stored."""
        text = "".join(output.get("text", "") for output in self.cell(name).outputs)
        return text.removeprefix(BLANK_LINE)
