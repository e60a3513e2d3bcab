"""Each exercise in the lessons: well-formed, its stub awaits, its written solution passes.

A solution stands in Markdown, so that it cannot overwrite the learner's; here its code is taken
from there and run. An exercise is a code cell that ends with `checks.NAME(FN)`.
"""

import ast
import math
import re

import nbformat
import numpy as np
import pytest
import torch
from IPython.core.inputtransformer2 import TransformerManager
from lesson_cells import each_lesson, read
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from helpers import checks

CALL = re.compile(r"^checks\.(\w+)\((\w+)\)\s*\Z", re.MULTILINE)
HEADING = re.compile(
    r"^#{2,4} Exercise (\d+\.\d+) · .+ · (?:easy|medium|hard), \d+ minutes\b", re.MULTILINE
)
DETAILS = re.compile(r"<details>\s*<summary>([^<]+)</summary>\n\n(.*?)\n\s*</details>", re.DOTALL)
FENCE = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
STUB = "raise NotImplementedError"


def problems(path):
    """What is wrong with the exercises of a notebook, as sentences."""
    cells = read(path).cells
    found = []
    for i, cell in enumerate(cells):
        if cell.cell_type == "code":
            call = CALL.search(cell.source)
            if call:
                wrong = problems_of_one(cells, i, *call.groups())
                found += [f"{call[0].strip()}: {sentence}" for sentence in wrong]
            elif STUB in cell.source:
                found.append(f"cell {i} has a stub, but does not end with its check")
    return found


def problems_of_one(cells, i, exercise, name):
    names = {"checks": checks}
    exec(imports_of(cells[:i]), names)
    check = getattr(names["checks"], exercise, None)
    if check is None:
        return ["there is no such check"]
    headings = HEADING.findall("\n\n".join(c.source for c in cells[:i] if c.cell_type != "code"))
    details = dict(DETAILS.findall(markdown_after(cells[i + 1 :])))
    fence = FENCE.search(details.get("Solution", ""))
    imports = imports_of(cells[: i + 1])
    stub = outcome(check, imports, CALL.sub("", cells[i].source), name)
    awaited = "awaiting" if STUB in cells[i].source else "failed"  # a planted bug to mend
    found = []
    if headings[-1:] != [check.number]:
        found.append(f"no heading with {check.number}, title, difficulty and minutes before it")
    if not any(summary.startswith("Hint") for summary in details):
        found.append("no hint in <details> after it")
    if stub[0] != awaited:
        found.append(f"the stub is not {awaited}: {stub}")
    if stub[0] == "failed" and not stub[1].endswith(tuple(s for _, s in check.mistakes)):
        found.append(f"the planted bug is not named: {stub}")
    missing = ("without ```python in <details>",)
    solved = outcome(check, imports, fence[1], name) if fence else missing
    if solved[0] != "passed":
        found.append(f"the solution is {' '.join(solved)}")
    return found


def markdown_after(cells):
    """The text of the Markdown cells up to the next code cell."""
    stop = next((i for i, cell in enumerate(cells) if cell.cell_type == "code"), len(cells))
    return "\n\n".join(cell.source for cell in cells[:stop])


def imports_of(cells):
    """All import statements of the code cells."""
    lines = []
    for cell in cells:
        if cell.cell_type == "code":
            body = ast.parse(TransformerManager().transform_cell(cell.source)).body
            lines += [ast.unparse(s) for s in body if isinstance(s, ast.Import | ast.ImportFrom)]
    return "\n".join(lines)


def outcome(check, imports, source, name):
    """Status and message for the function that the source defines."""
    namespace = {"torch": torch, "np": np, "math": math}
    try:
        exec(f"{imports}\n{source}", namespace)
    except Exception as error:
        return "broken", f"{type(error).__name__}: {error}"
    result = check(namespace.get(name))
    return result.status, result.message


@each_lesson
def test_exercises(path):
    assert problems(path) == []


# --- this test against a made-up lesson ----------------------------------------------------------

BEFORE = "## Weigh\n\n### Exercise 0.1 · weigh the values · easy, 5 minutes\nWrite it."
CODE = '''def expectation(probabilities, values):
    """Return the sum of p v."""
    raise NotImplementedError


checks.expectation(expectation)'''
AFTER = """<details><summary>Hint 1</summary>

Multiply first.

</details>

<details>
<summary>Solution</summary>

The sum:

```python
def expectation(probabilities, values):
    return F.linear(probabilities, values)
```

</details>"""


def lesson(folder, before=BEFORE, code=CODE, after=AFTER):
    path = folder / "lesson.ipynb"
    cells = [
        new_code_cell("%matplotlib inline\nimport torch.nn.functional as F\n1 / 0"),
        new_markdown_cell(before),
        new_code_cell(code),
        new_markdown_cell(after),
        new_code_cell("1 + 1"),
        new_markdown_cell(AFTER),
    ]
    nbformat.write(new_notebook(cells=cells), path)
    return path


def test_a_good_exercise_has_no_problem_and_a_planted_bug_need_not_await(tmp_path):
    for code in (CODE, CODE.replace(STUB, "return values.mean()")):
        assert problems(lesson(tmp_path, code=code)) == []


@pytest.mark.parametrize(
    ("part", "old", "new", "said"),
    [
        ("before", "easy, ", "", "no heading with 0.1"),
        ("before", "0.1", "0.2", "no heading with 0.1"),
        ("code", "\n\n\nchecks.expectation(expectation)", "", "does not end with its check"),
        ("code", "checks.expectation", "checks.exception", "no such check"),
        ("code", STUB, f"if 1 / 0:\n        {STUB}", "the stub is not awaiting"),
        ("code", STUB, "return probabilities @ values", "the stub is not failed"),
        ("code", STUB, "return 7 * values.sum()", "the planted bug is not named"),
        ("after", "Hint", "Idea", "no hint"),
        ("after", "```python", "```", "the solution is without"),
        ("after", "F.linear(probabilities, values)", "values.sum()", "the plain sum"),
        ("after", "F.linear(", "F.linear((", "the solution is broken"),
        ("after", "def expectation", "def average", "the function itself"),
    ],
)
def test_a_fault_is_named(tmp_path, part, old, new, said):
    text = {"before": BEFORE, "code": CODE, "after": AFTER}[part]
    assert old in text
    found = problems(lesson(tmp_path, **{part: text.replace(old, new)}))
    assert said in " ".join(found)
