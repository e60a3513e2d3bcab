"""Marking a class: one bad hand-in stops no other, and what did not run here counts as nothing."""

import contextlib
import csv
import errno
import io
import json
import os
import re
import shlex
import tempfile
from pathlib import Path
from unittest.mock import Mock

import nbformat
import psutil
import pytest
from lesson_cells import PATHS, read, sampled
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_exercises_in_notebooks import CALL, DETAILS, FENCE, imports_of, markdown_after

from helpers import checks
from helpers.checks import __main__ as command
from helpers.checks import core, handouts, marking, supervised
from helpers.errors import SlipError

ROOT = Path(__file__).parent.parent
IMPORT = "from helpers import checks  # checks.slope"
RIGHT = "checks.totals_per_environment(lambda rewards: rewards.sum(0))"
WRONG = "checks.totals_per_environment(lambda rewards: rewards)"
FOREGROUND = "import os\nif os.environ['COURSE_FOREGROUND'] == '1': "
SOUND = ["import sys; sys.exit()", "input()", "1 / 0", "!!", WRONG, FOREGROUND + RIGHT]
SOUND += ["checks.slope(lambda f, x: 0.0)", "dict = len = print = repr = None"]
CHEAT = """
checks = __import__("types").SimpleNamespace(totals_per_environment=lambda f: "Exercise 0.2 passed")
checks.totals_per_environment(None)"""
MARK = f"started by a hand-in of {os.getpid()}"
START = f"import subprocess, sys; subprocess.{{}}([sys.executable, '-c', '{{}}  # {MARK}'])"
SLEEP = START.format("Popen", "import time; time.sleep(99)")
EAT = START.format("run", 'x = bytearray(b"1") * 2 * 10**9; import time; time.sleep(99)')
SPOIL = "import sys, types; sys.modules['helpers.checks.core'] = types.SimpleNamespace(latest=1)"
ENDLESS = """
while True:
    try:
        while True: print('Exercise 0.2 passed' * 99)
    except BaseException: pass"""
CLASS = {  # name: code, then what is expected
    "a/Änne 王": ([IMPORT, *SOUND], ["awaiting", "passed", "failed", ""]),
    "b/cheat": ([CHEAT], ["awaiting", "failed", "awaiting", ""]),
    "b/ends": ([SLEEP, f"import os; os._exit(0)  # {IMPORT}"], "its kernel ended, in code cell 2 of 2"),
    "b/kills": ([f"import os; os.kill(os.getppid(), 9)  # {IMPORT}"], "its kernel ended, in code cell 1 of 1"),
    "b/spoils": ([f"{SPOIL}  # {IMPORT}"], "its kernel ended, in code cell 1 of 1"),
    "b/eats": ([f"{EAT}  # {IMPORT}"], "it took more than 1200 MB of memory, in code cell 1 of 1"),
    "b/no code": ([], "the notebook has no code"),
    "b/other": (["import checks; slope = 1"], "the notebook calls no check of this course"),
    "b/broken": ('{"cells": [', "the file is no notebook (JSONDecodeError)"),
    "b/list": ("[]", "the file is no notebook (TypeError)"),
    "b/empty": ("", "the file is empty"),
    "b/large": (" " * 50_000_001, "the file has more than 50 MB"),
}  # fmt: skip


def hand_in(path, code):
    """A file whose stored output, tags and kernel must not count."""
    path.parent.mkdir(exist_ok=True)
    if isinstance(code, str):
        path.write_text(code)
        return
    stored = new_output("stream", text="Exercise 0.2 passed\n")
    cells = [new_code_cell(source, outputs=[stored]) for source in code]
    for cell in cells:
        cell.metadata.tags = ["skip-execution"]
    nb = new_notebook(cells=[new_markdown_cell("# checks.slope(f)"), *cells])
    nb.metadata.kernelspec = {"name": "no such kernel", "display_name": "Python"}
    nbformat.write(nb, path)


def left():
    """What hand-ins have started and still runs."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if any(MARK in s for s in p.info["cmdline"] or ())]


# --- a class --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """What the command printed on a terminal that knows ASCII alone; its exit code; whether
    there was an error; the CSV's rows; the files it has left."""
    folder = tmp_path_factory.mktemp("class")
    for name, (code, _) in CLASS.items():
        hand_in(folder / f"{name}.ipynb", code)
    (folder / "b/folder.ipynb").mkdir()
    for hidden in (".ipynb_checkpoints", "__MACOSX"):
        hand_in(folder / hidden / "a.ipynb", [IMPORT])
    (folder / "temporary").mkdir()
    other = folder / "jupyter/kernels/python3/kernel.json"  # of another Python
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["no-such-python"], "display_name": "x", "language": "python"}')
    out, error = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(error),
    ):
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.setenv("COURSE_FOREGROUND", "0")
        patch.setenv("TMPDIR", str(folder / "temporary"))
        patch.setattr(tempfile, "tempdir", None)
        options = ["--csv", str(folder / "marks.csv"), "--megabytes", "1200"]
        code = command.main([str(folder), *options])
    with (folder / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = {row.pop("file"): row for row in csv.DictReader(file)}
    out.seek(0)
    return code, out.read(), error.tell(), rows, [*folder.glob("temporary/tmp*")]


@pytest.mark.parametrize("name", CLASS)
def test_each_hand_in_has_its_row(marked, name):
    _, printed, _, rows, _ = marked
    row, expected = rows[f"{name}.ipynb"], CLASS[name][1]
    assert [*row] == ["0.1", "0.2", "0.3", "why it did not run"]
    if isinstance(expected, str):
        cell = "did not run" if "code cell" in expected else ""
        expected = [*[cell] * 3, expected]
    assert [*row.values()] == expected
    told = f": {name}.ipynb ... ".encode("ascii", "backslashreplace").decode()
    (line,) = [line for line in printed.splitlines() if told in line]
    assert (f"did not run: {expected[3]}" if expected[3] else "1 failed") in line


def test_the_class_as_a_whole(marked):
    code, printed, errors, rows, files = marked
    assert (code, errors, len(rows), files) == (1, 0, len(CLASS) + 1, [])
    assert "cannot be read (Is a directory" in rows["b/folder.ipynb"]["why it did not run"]
    assert len(re.findall(rf"^\d+ of {len(rows)}: ", printed, re.MULTILINE)) == len(rows)
    assert re.search(r"^ +0\.1 +0\.2 +0\.3$", printed, re.MULTILINE)
    assert re.search(r"^a/\S+ \S+ +awaiting +passed +failed$", printed, re.MULTILINE)
    assert left() == []


def test_an_endless_hand_in_is_ended():
    """It prints without end, too, and takes no interrupt."""
    with pytest.raises(SlipError, match=r"not done after 0\.1 minutes, in code cell"):
        supervised.run([SLEEP, ENDLESS], 0.1, 3000)
    assert left() == []


def unsolved(rewards):
    raise NotImplementedError


@pytest.mark.parametrize(
    ("functions", "last"),
    [
        ([lambda rewards: rewards.sum(0), lambda rewards: rewards], "failed"),
        ([lambda rewards: rewards, lambda rewards: rewards.sum(0)], "passed"),
        ([lambda rewards: rewards, unsolved], "awaiting"),
    ],
)
def test_the_last_check_is_kept(monkeypatch, functions, last):
    monkeypatch.setattr(core, "latest", {})
    for function in functions:
        checks.totals_per_environment(function)
    assert core.latest == {"0.2": last}


CELL = "def f(x): return 0\n\n\nchecks.slope(f)"


@pytest.mark.parametrize(
    ("code", "latest", "status"),
    [
        ([CELL], "failed", "awaiting"),  # a planted bug that nobody touched
        ([CELL, "checks.slope(g)"], "failed", "failed"),
        ([CELL], "passed", "passed"),
        (["def f(x) return\nchecks.slope(f)"], None, "failed"),  # it never got to the check
        (["checks.slope(f)"], "Great!\npassed", "failed"),
        (["1"], None, "awaiting"),
    ],
)
def test_status(code, latest, status):
    assert marking._status(marking.Exercise("0.3", "slope", CELL), code, latest) == status


@pytest.fixture(scope="module")
def course():
    return marking.lessons()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_lesson_is_known_by_its_checks(path, course):
    own = re.findall(r"^#{2,4} Exercise (\S+)", "\n".join(c.source for c in read(path).cells), re.M)
    assert [e.number for e in marking._exercises(marking._code(path), course)] == own
    assert len(own) >= 3


@pytest.mark.hardening
@pytest.mark.parametrize("path", sampled(PATHS, 0), ids=lambda path: path.stem)
def test_a_lesson_with_all_exercises_solved_but_the_last(path, course, tmp_path):
    nb = read(path)
    *solved, _ = [i for i, cell in enumerate(nb.cells) if CALL.search(cell.source)]
    for i in solved:
        details = dict(DETAILS.findall(markdown_after(nb.cells[i + 1 :])))
        call, solution = CALL.search(nb.cells[i].source)[0], FENCE.search(details["Solution"])[1]
        nb.cells[i].source = "\n".join([imports_of([nb.cells[i]]), solution, call])
    nbformat.write(nb, tmp_path / "x.ipynb")
    row = marking.mark("x", tmp_path / "x.ipynb", course, minutes=20, megabytes=3000)
    assert row.reason == ""
    assert [*row.statuses.values()] == ["passed"] * len(solved) + ["awaiting"]


# --- names and bad usage --------------------------------------------------------------------------


def test_names_tell_files_apart(tmp_path):
    for name in ("a/x.ipynb", "b/x.IPYNB", "=1+1.ipynb", "c\x1b.ipynb"):
        hand_in(tmp_path / name, ["1"])
    found = [name for name, _ in marking.hand_ins([tmp_path])]
    assert sorted(found) == ["./=1+1.ipynb", "a/x.ipynb", "b/x.IPYNB", "c?.ipynb"]
    several = [tmp_path / "a/x.ipynb", tmp_path / "b"]
    expected = [tmp_path / "a/x.ipynb", tmp_path / "b/x.IPYNB"]
    assert marking.hand_ins(several) == [(path.as_posix(), path) for path in expected]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No notebook (*.ipynb) is named"),
        (["{empty}"], "none is in a folder that is named"),
        (["{folder}/missing"], "missing is no folder and no file"),
        (["{folder}", "--csv", "{folder}/a.ipynb"], "must end with .csv"),
        (["{folder}", "--csv", "{folder}/missing/a.csv"], "a.csv cannot be used: No such file"),
        (["{folder}", "--csv", "{folder}/folder.csv"], "folder.csv cannot be used"),
        (["{folder}", "--minutes", "0"], "argument --minutes"),
        (["{folder}", "--megabytes", "nan"], "argument --megabytes"),
        (["--without-solutions", "{folder}", "{folder}/a.ipynb"], "a.ipynb exists already"),
        (["--without-solutions", "{folder}/new", "{folder}"], "have the same name"),
        (["--without-solutions", "{folder}/new", "{folder}/broken/a.ipynb"], "is no notebook"),
    ],
)
def test_bad_usage_is_told_before_anything_runs(tmp_path, arguments, said, capsys, monkeypatch):
    monkeypatch.setattr(marking, "mark", None)
    places = {"folder": tmp_path / "x", "empty": tmp_path / "empty"}
    hand_in(places["folder"] / "a.ipynb", ["1"])
    for name in ("x/folder.csv", "empty"):
        (tmp_path / name).mkdir()
    hand_in(tmp_path / "x/broken/a.ipynb", "[]")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as end:
        command.main([argument.format(**places) for argument in arguments])
    assert end.value.code == 2 and said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_the_machine_refuses_costs_one_row(tmp_path, course, monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    monkeypatch.setattr(marking.supervised, "run", Mock(side_effect=full))
    hand_in(tmp_path / "a.ipynb", ["checks.regret(regret)"])
    row = marking.mark("a", tmp_path / "a.ipynb", course, 1, 500)
    assert "No space left on device" in row.reason and row.statuses["6.1"] == "did not run"


def test_what_may_not_be_read_is_told(tmp_path, monkeypatch):
    """A folder handed in; the course's own notebook."""
    hand_in(tmp_path / "ann/a.ipynb", ["1"])
    refused = PermissionError(errno.EACCES, "Permission denied", "ben")
    with monkeypatch.context() as patch, pytest.raises(SlipError, match="ben cannot be read: Perm"):
        patch.setattr(marking.os, "scandir", Mock(side_effect=refused))
        marking.hand_ins([tmp_path])
    (tmp_path / "05_mine.ipynb").write_text("<<<<<<< HEAD")
    monkeypatch.setattr(marking, "NOTEBOOKS", tmp_path)
    with pytest.raises(
        SlipError, match=r"The course's own 05_mine\.ipynb: the file is no notebook"
    ):
        marking.lessons()


def test_whoever_stops_it_keeps_what_was_marked(tmp_path, capsys, monkeypatch):
    def mark(name, path, course, *limits):
        assert limits == (7, 8)
        if name == "b.ipynb":
            raise KeyboardInterrupt
        return marking.Mark(name, {"0.2": "passed"})

    monkeypatch.setattr(marking, "mark", mark)
    for name in "abc":
        hand_in(tmp_path / f"{name}.ipynb", ["1"])
    options = ["--csv", str(tmp_path / "a.csv"), "--minutes", "7", "--megabytes", "8"]
    assert command.main([str(tmp_path), *options]) == 1
    text = (tmp_path / "a.csv").read_text(encoding="utf-8")
    assert text[0] == "\N{ZERO WIDTH NO-BREAK SPACE}"  # by which a spreadsheet knows UTF-8
    assert text.splitlines()[1:] == [
        "a.ipynb,passed,",
        *(f"{n}.ipynb,,marking was stopped" for n in "bc"),
    ]
    assert "a.ipynb passed" in capsys.readouterr().out


def test_readme_names_commands_that_exist():
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Teaching with it")[2]
    lines = re.findall(r"python -m helpers\.checks ([^\n`]+)", section.partition("\n## ")[0])
    assert len(lines) == 2
    for line in lines:
        command._parser().parse_args(shlex.split(line))


# --- without solutions ----------------------------------------------------------------------------


SOLUTION = re.compile("<details>\n?<summary>Solution</summary>.*?</details>", re.DOTALL)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed out") / "new"
    assert command.main(["--without-solutions", str(folder)]) == 0
    return folder


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_copy_lacks_the_solutions_and_nothing_else(path, copies):
    text = (copies / path.name).read_text(encoding="utf-8")
    before, after = json.loads(path.read_text(encoding="utf-8")), json.loads(text)
    solutions = 0
    for old, new in zip(before["cells"], after["cells"], strict=True):
        source, rest = "".join(old.pop("source")), "".join(new.pop("source"))
        assert old == new
        for solution in SOLUTION.findall(source):
            solutions += 1
            (code,) = FENCE.findall(solution)
            assert code not in text.replace("\\n", "\n")
            source = source.replace(solution + "\n", "").replace(solution, "")
        assert rest == source
    assert solutions == len(marking.exercises_of(copies / path.name)) >= 3
    assert text.encode() == (copies / path.name).read_bytes()  # and all else, byte for byte:
    assert handouts.without_solutions(copies / path.name) == text


def test_only_the_solution_goes_from_a_cell(tmp_path):
    parts = [
        f"<details><summary>{summary}</summary>\n\n{text}\n\n</details>"
        for summary, text in (("Hint 1", "Ä"), ("Solution", "x = 1"), ("More", 2))
    ]
    nbformat.write(new_notebook(cells=[new_markdown_cell("\n".join(parts))]), tmp_path / "a.ipynb")
    (cell,) = json.loads(handouts.without_solutions(tmp_path / "a.ipynb"))["cells"]
    assert "".join(cell["source"]) == "\n".join([parts[0], parts[2]])
