"""CONTRIBUTING's table of modules against the files: all are named, and imports run downward only."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HELPERS = ROOT / "helpers"
LINES = 355
PACKAGES = ("checks", "envs")  # one row each
TABLE = re.search(
    r"hold.{0,40}the table.*?```text\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(), re.DOTALL
)[1]
ABOVE, BELOW = (re.findall(r"^[\w/.]+", part, re.MULTILINE) for part in re.split("-{20,}", TABLE))
ROWS = [*ABOVE, *BELOW]
MODULES = [path for path in sorted(HELPERS.rglob("*.py")) if path.name != "__init__.py"]


def row(path):
    """What stands for a module in the table."""
    name = path.relative_to(HELPERS)
    return f"{name.parts[0]}/" if name.parts[0] in PACKAGES else name.as_posix()


def imported(path):
    """Full names of all that a module imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def module_of(name):
    """The file of an imported name of helpers, or None for what is no module of its own."""
    parts = name.split(".")[1:]
    lengths = [length for length in (len(parts), len(parts) - 1) if length]
    places = [HELPERS.joinpath(*parts[:length]) for length in lengths]
    files = [file for place in places for file in (place.with_suffix(".py"), place / "__init__.py")]
    return next((file for file in files if file.exists()), None)


def test_each_module_has_its_row():
    assert len(set(ROWS)) == len(ROWS)
    assert {row(path) for path in MODULES} == set(ROWS)


@pytest.mark.parametrize("path", MODULES, ids=row)
def test_imports_run_downward_and_no_module_is_long(path):
    """In a package that has one row, among themselves as they like; checks hold the mistakes that
    they name. Nothing under the line knows of pictures."""
    for name in imported(path):
        file = module_of(name) if name.startswith("helpers.") else None
        if file and not row(file) == row(path) == f"{file.parent.name}/":
            assert row(file) in ROWS[ROWS.index(row(path)) + 1 :], name
        drawing = name.split(".")[0] in {"matplotlib", "ipywidgets", "IPython"}
        assert not (drawing and row(path) in BELOW), name
    assert row(path) == "checks/" or len(path.read_text().splitlines()) <= LINES
