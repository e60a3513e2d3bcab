"""A stored lesson's cells by their ids, to run some and read what they printed; and seeds for claims."""

import os
from pathlib import Path

import nbformat
import pytest
from execute_notebooks import BLANK_LINE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


def each_seed(name, seeds):
    """Parametrise a test of a claim: the first of the seeds (or sets of them) belongs to the long
    tests, the others run with all that stands behind the claims, by `pytest -m evidence`."""
    marks = [pytest.mark.hardening, *[pytest.mark.evidence] * (len(seeds) - 1)]
    cases = [pytest.param(seed, marks=mark) for seed, mark in zip(seeds, marks)]
    return pytest.mark.parametrize(name, cases)


def sampled(lessons):
    """The lessons that a long test takes, of a list: all; or each third, another with each number,
    where COURSE_SAMPLE is one (in .ci/run, whose time is limited, the number of commits)."""
    turn = os.environ.get("COURSE_SAMPLE")
    return lessons[int(turn) % 3 :: 3] if turn else lessons


class Lesson:
    """The lesson of this number."""

    def __init__(self, number):
        (self.path,) = NOTEBOOKS.glob(f"{number:02}_*.ipynb")
        self.cells = {cell.id: cell for cell in nbformat.read(self.path, as_version=4).cells}

    def run(self, *ids):
        """What the cells of these ids define, run in this order."""
        names = {}
        for name in ids:
            exec(self.cells[name].source, names)
        return names

    def said(self, name):
        """What the cell of this id printed, as it is stored."""
        text = "".join(output.get("text", "") for output in self.cells[name].outputs)
        return text.removeprefix(BLANK_LINE)
