"""Each lesson as learners run it: again and again, up to a panel, solved, while panels train.

Where COURSE_FOREGROUND is set, as in all tests, a panel trains within its cell. Without it, as in
JupyterLab, it trains in a thread of its own while the next cells run.
"""

import copy

import pytest
from execute_notebooks import WIDGET_VIEW, normalise
from lesson_cells import PATHS, read, sampled
from lesson_kernel import client
from nbformat.v4 import new_code_cell, new_notebook
from nudge import is_tagged
from random_states import BEFORE, BEHIND
from test_exercises_in_notebooks import CALL, DETAILS, FENCE, markdown_after

from helpers import checks

PANELS = """\
import gc
from helpers.live import LivePanel
_panels = [thing for thing in gc.get_objects() if type(thing) is LivePanel]
print("\\n".join(sorted({panel.wait(300) for panel in _panels})))
"""

# A later cell may have given another meaning to a name that a panel's functions look up.
AGAIN = f"{PANELS}[panel.set(**panel.values) for panel in _panels];"


def run_all(path, *runs):
    """The cells of each run, executed in one kernel. Fails where a global generator moves; the last
    cell says how panels ended."""
    running, executed = client(new_notebook(), path.parent), []
    with running.setup_kernel():
        for cells in runs:
            last = new_code_cell(PANELS + BEHIND, id="last")
            running.nb = new_notebook(cells=[new_code_cell(BEFORE), *copy.deepcopy(cells), last])
            for index, cell in enumerate(running.nb.cells):
                running.execute_cell(cell, index)
            executed.append(running.nb.cells[1:])
    return executed


def outputs(cells):
    """What each code cell shows, in normal form and without its number; by the cell's id."""
    nb = normalise(new_notebook(cells=copy.deepcopy(cells)))
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    for output in (output for cell in code for output in cell.outputs):
        output["execution_count"] = None
        if "image/png" in output.get("data", {}):  # shown once more, as <img>, if somebody looks
            output.data.pop("text/html", None)
    return {cell.id: cell.outputs for cell in code}


def with_widgets(cells):
    """The ids of cells that show a panel, or an agent to watch."""
    found = [(cell.id, o) for cell in cells for o in cell.get("outputs", [])]
    return {name for name, output in found if WIDGET_VIEW in output.get("data", {})}


def differing(one, other, but=frozenset()):
    """The ids of the cells that show one thing and then another."""
    one, other = outputs(one), outputs(other)
    return {name for name in one if one[name] != other[name]} - but


def solved(cells):
    """The cells with each written solution before its check: (cells, numbers of exercises by id)."""
    cells, numbers = copy.deepcopy(cells), {}
    for i, cell in enumerate(cells):
        call = cell.cell_type == "code" and CALL.search(cell.source)
        if call:
            solution = dict(DETAILS.findall(markdown_after(cells[i + 1 :])))["Solution"]
            stub = CALL.sub("", cell.source)
            cell.source = f"{stub}\n{FENCE.search(solution)[1]}\n{call[0]}"
            numbers[cell.id] = getattr(checks, call[1]).number
    return cells, numbers


@pytest.mark.hardening
@pytest.mark.parametrize("path", sampled(PATHS, 0), ids=lambda path: path.stem)
def test_again_solved_and_while_panels_train(path, monkeypatch):
    """Run All; solve all exercises and Run All without a restart; then, in a fresh kernel, Run All
    while panels train beside the cells, and let each panel train once more. The last cell tells with
    what each panel ends."""
    cells = read(path).cells
    answered, numbers = solved(cells)
    first, second = run_all(path, cells, answered)
    said = outputs(second)
    unsolved = {n for name, n in numbers.items() if f"Exercise {n} passed" not in str(said[name])}
    assert unsolved == set()
    used = {cell.id for cell in cells if "checks.yours_or(" in cell.get("source", "")}
    varying = {cell.id for cell in cells if is_tagged(cell)}  # a learner's loss may round otherwise
    assert differing(first, second, but={*numbers, *used, *varying}) == set()
    monkeypatch.delenv("COURSE_FOREGROUND")
    [third] = run_all(path, [*cells, new_code_cell(AGAIN, id="again")])
    assert differing(first, third, but={"last", *with_widgets(third)}) == set()
    assert outputs(third)["again"] == outputs(first)["last"]  # how panels ended
    assert "stopped by an error" not in str(third[-1].outputs), third[-1].outputs


def test_from_the_top_to_the_first_panel(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND")
    path = PATHS[0]
    cells = read(path).cells
    last = next(i for i, cell in enumerate(cells) if "LivePanel(" in cell.source)
    [executed] = run_all(path, cells[: last + 1])
    ends = executed[-1].outputs[0].text.splitlines()
    assert ends and all(end.startswith("Finished.") for end in ends), ends
    assert cells[last].id in with_widgets(executed)
