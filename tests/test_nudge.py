"""What another processor would give otherwise is marked so, and nothing is concluded from it.

The command nudges whole lessons; here each of them once, in `pytest -m hardening`. That prose quotes
no number from a marked cell is tested in test_prose.py.
"""

import os

import nbformat
import nudge
import pytest
from execute_notebooks import LESSONS
from lesson_cells import PATHS, each_lesson, read, sampled
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

TRAINS = """
import torch
from helpers.networks import Actor
actor = Actor(4, 2, generator=torch.Generator().manual_seed(0))
x = torch.arange(4.0)
print(actor.head.weight.sum().item() != 0)
"""


@each_lesson
def test_what_varies_is_not_compared(path):
    for cell in filter(nudge.is_tagged, read(path).cells):
        assert "nbval-check-output" not in cell.metadata.tags, cell.source
        assert "NBVAL_CHECK_OUTPUT" not in cell.source, cell.source


@pytest.mark.hardening
@pytest.mark.parametrize("path", sampled(PATHS, 2), ids=lambda path: path.stem)
def test_what_varies_is_tagged(path):
    stored = read(path)
    again = nudge.outputs_under(1, stored, path.parent)
    varied = list(nudge.differences(stored, again))
    assert [(n, c.id, lines) for n, c, lines in varied if not nudge.is_tagged(c)] == []


@pytest.fixture(scope="module")
def small():
    """A notebook of four cells: the first three show what was trained, the last what was not."""
    figure = "from matplotlib import pyplot as plt; fig, ax = plt.subplots()\n"
    figure += "ax.plot((actor(x).detach() * 1e9) % 1); ax.set(xlabel='x', ylabel='y')\n"
    figure += "from helpers import plots; plots.show(fig, 'A line.')"
    sources = [TRAINS + "actor(x).tolist()", figure, "print((actor(x) * 1e9).tolist())", "1 + 1"]
    cells = [new_code_cell(source, id=f"cell{k}") for k, source in enumerate(sources)]
    return nudge.outputs_under(0, new_notebook(cells=[new_markdown_cell("# L"), *cells]), LESSONS)


@pytest.mark.hardening
def test_a_nudge_changes_what_depends_on_networks_and_nothing_else(small):
    before = dict(os.environ)
    nudged, again = (nudge.outputs_under(1, small, LESSONS) for _ in range(2))
    assert dict(os.environ) == before
    assert list(nudge.differences(nudged, again)) == []  # the same nudge gives the same
    found = {cell.id: lines for _, cell, lines in nudge.differences(small, nudged)}
    assert list(found) == ["cell0", "cell1", "cell2"]
    assert found["cell1"] == ["(another picture)"]
    assert [line[0] for line in found["cell2"]] == ["-", "+"]


def test_the_command_wants_a_tag_and_is_content_with_one(small, tmp_path, capsys):
    path = tmp_path / "small.ipynb"
    nbformat.write(small, path)
    assert nudge.main(["--nudges", "1", str(path)]) == 1
    said = capsys.readouterr().out
    assert said.count("NOT TAGGED") == 3 and "cell 1 needs the tag varies-by-processor" in said
    for cell in small.cells[1:4]:
        cell.metadata.tags = [nudge.TAG]
    nbformat.write(small, path)
    assert nudge.main(["--nudges", "1", str(path)]) == 0
    assert "NOT TAGGED" not in capsys.readouterr().out
