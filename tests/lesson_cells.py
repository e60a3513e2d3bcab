"""A stored lesson's cells by their ids: to run some of them, and to read what they printed."""

from pathlib import Path

import nbformat
from execute_notebooks import BLANK_LINE

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"


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
