"""Marking a class: one bad hand-in stops no other, and what did not run here counts as nothing."""

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

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
IMPORT = "from helpers import checks"
RIGHT = "checks.totals_per_environment(lambda rewards: rewards.sum(0))"
WRONG = "checks.totals_per_environment(lambda rewards: rewards)"
FOREGROUND = "import os\nif os.environ['COURSE_FOREGROUND'] == '1': "
LAST_COUNTS = [
    IMPORT,
    "import sys; sys.exit()",
    "input()",
    "1 / 0",
    "!!",
    WRONG,
    FOREGROUND + RIGHT,
]
GOOD = [*LAST_COUNTS, "checks.slope(lambda f, x: 0.0)", "dict = len = print = repr = None"]
CHEAT = """
checks = __import__("types").SimpleNamespace(totals_per_environment=lambda f: "Exercise 0.2 passed")
checks.totals_per_environment(None)"""
MARK = f"started by a hand-in of {os.getpid()}"
START = f"import subprocess, sys; subprocess.run([sys.executable, '-c', '{{}}  # {MARK}'])"


def hand_in(path, code, title="# Start here"):
    """A file whose stored output and kernel must not count."""
    stored = new_output("stream", text="Exercise 0.2 passed\n")
    cells = [new_code_cell(source, outputs=[stored]) for source in code]
    for cell in cells:
        cell.metadata.tags = ["skip-execution"]
    nb = new_notebook(cells=[new_markdown_cell(title), *cells])
    nb.metadata.kernelspec = {"name": "no such kernel", "display_name": "Python"}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nb, path)


def left():
    """What hand-ins have started and still runs."""
    found = psutil.process_iter(["cmdline"])
    return [p for p in found if any(MARK in s for s in p.info["cmdline"] or ())]


# --- a class, by the command ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def marked(tmp_path_factory):
    """What the command printed on a terminal that knows ASCII alone; its exit code; the CSV's rows."""
    folder = tmp_path_factory.mktemp("class")
    hand_in(folder / "a/Änne 王.ipynb", GOOD)
    hand_in(folder / "b/cheat.ipynb", [CHEAT])
    hand_in(
        folder / "b/dead.ipynb",
        [
            START.replace("run(", "Popen(").format("import time; time.sleep(99)"),
            "import os; os._exit(0)",
        ],
    )
    hand_in(folder / "b/no code.ipynb", [])
    hand_in(folder / "b/other.ipynb", ["1 + 1"], title="# Another course")
    (folder / "b/broken.ipynb").write_text('{"cells": [')
    (folder / "b/list.ipynb").write_text("[]")
    (folder / "b/empty.ipynb").touch()
    (folder / ".ipynb_checkpoints").mkdir()
    hand_in(folder / ".ipynb_checkpoints/a.ipynb", GOOD)
    other = folder / "jupyter/kernels/python3/kernel.json"  # of another Python
    other.parent.mkdir(parents=True)
    other.write_text('{"argv": ["no-such-python"], "display_name": "x", "language": "python"}')
    own = {"PYTHONIOENCODING": "ascii", "JUPYTER_PATH": str(folder / "jupyter")}
    done = subprocess.run(
        [sys.executable, "-m", "helpers.checks", folder, "--csv", folder / "marks.csv"],
        cwd=ROOT,
        env=os.environ | own | {"COURSE_FOREGROUND": "0"},
        capture_output=True,
        text=True,
    )
    with (folder / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        return done, {row.pop("file"): row for row in csv.DictReader(file)}


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("a/Änne 王.ipynb", ["awaiting", "passed", "failed", ""]),
        ("b/cheat.ipynb", ["awaiting", "failed", "awaiting", ""]),
        (
            "b/dead.ipynb",
            [*["did not run"] * 3, "its kernel ended (DeadKernelError), in code cell 2 of 2"],
        ),
        ("b/no code.ipynb", ["", "", "", "the notebook has no code"]),
        ("b/other.ipynb", ["", "", "", "the notebook is no lesson of this course"]),
        ("b/broken.ipynb", ["", "", "", "the file is no notebook (NotJSONError)"]),
        ("b/list.ipynb", ["", "", "", "the file is no notebook (AttributeError)"]),
        ("b/empty.ipynb", ["", "", "", "the file is empty"]),
    ],
)
def test_each_hand_in_has_its_row(marked, name, statuses):
    done, rows = marked
    assert [*rows[name]] == ["0.1", "0.2", "0.3", "why it did not run"]
    assert [*rows[name].values()] == statuses
    told = f": {name} ... ".encode("ascii", "backslashreplace").decode()
    (line,) = [line for line in done.stdout.splitlines() if told in line]
    assert (f"did not run: {statuses[3]}" if statuses[3] else "1 failed") in line


def test_the_class_as_a_whole(marked):
    done, rows = marked
    assert (done.returncode, done.stderr, len(rows)) == (1, "", 8)
    assert len(re.findall(r"^[1-8] of 8: ", done.stdout, re.MULTILINE)) == 8
    assert re.search(r"^ +0\.1 +0\.2 +0\.3$", done.stdout, re.MULTILINE)
    assert re.search(r"^a/\S+ \S+ +awaiting +passed +failed$", done.stdout, re.MULTILINE)
    assert left() == []


# --- one hand-in ----------------------------------------------------------------------------------


def test_an_endless_hand_in_is_ended():
    """It prints without end, too, and takes no interrupt."""
    endless = "while True:\n    try:\n        while True: print('Exercise 0.2 passed' * 99)\n"
    with pytest.raises(SlipError, match=r"not done after 0\.02 minutes, in code cell 2 of 2"):
        supervised.run(["1", endless + "    except BaseException: pass"], 0.02, 3000)


def test_what_is_shown_is_not_kept():
    """Else an endless print would fill the memory of the process that marks."""
    client, cell = supervised._client(["1"]), new_code_cell("1")
    stream = {"name": "stdout", "text": "x"}
    client.process_message({"msg_type": "stream", "content": stream}, cell, 0)
    assert cell.outputs == []


def test_memory_counts_with_all_processes():
    eater = START.format('x = bytearray(b"1") * 10**9; import time; time.sleep(99)')
    with pytest.raises(SlipError, match=r"more than 400 MB of memory, in code cell 1 of 1"):
        supervised.run([eater], 5, 400)
    assert left() == []


def test_a_registry_that_was_spoilt_is_no_pass():
    spoilt = (
        "import sys, types\nsys.modules['helpers.checks.core'] = types.SimpleNamespace(latest=1)"
    )
    with pytest.raises(SlipError, match="its kernel ended"):
        supervised.run([spoilt], 5, 3000)


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
        (["from helpers.checks import slope; slope(f)"], "failed", "failed"),
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
def test_a_lesson_is_known_by_its_checks_or_its_title(path, course):
    own = re.findall(r"^#{2,4} Exercise (\S+)", "\n".join(c.source for c in read(path).cells), re.M)
    title, code = marking._read(path)
    for known_as in (["another title", code], [title, ["1"]]):
        assert {e.number for e in marking._exercises(*known_as, course)} == set(own)
    assert len(own) >= 3


@pytest.mark.hardening
@pytest.mark.parametrize("path", sampled(PATHS), ids=lambda path: path.stem)
def test_a_lesson_with_its_first_exercise_solved(path, course, tmp_path):
    nb = read(path)
    first = next(i for i, cell in enumerate(nb.cells) if CALL.search(cell.source))
    cell = nb.cells[first]
    call = CALL.search(cell.source)
    solution = FENCE.search(
        dict(DETAILS.findall(markdown_after(nb.cells[first + 1 :])))["Solution"]
    )
    cell.source = "\n".join([imports_of([cell]), solution[1], call[0]])
    number = getattr(checks, call[1]).number
    nbformat.write(nb, tmp_path / "x.ipynb")
    row = marking.mark("x", tmp_path / "x.ipynb", course, minutes=10, megabytes=3000)
    assert row.reason == "" and len(row.statuses) >= 3
    assert {n for n, status in row.statuses.items() if status != "awaiting"} == {number}
    assert row.statuses[number] == "passed"


# --- names and bad usage --------------------------------------------------------------------------


def test_names_tell_files_apart(tmp_path):
    for name in (
        "ann/lesson.ipynb",
        "bo/lesson.ipynb",
        "=1+1.ipynb",
        "a\x1bb.ipynb",
        "__MACOSX/x.ipynb",
    ):
        hand_in(tmp_path / name, ["1"])
    (tmp_path / "folder.ipynb").mkdir()
    found = marking.hand_ins([tmp_path, tmp_path / "bo/../bo/lesson.ipynb"])
    expected = ["./=1+1.ipynb", "a?b.ipynb", "ann/lesson.ipynb", "bo/lesson.ipynb"]
    assert sorted(name for name, _ in found) == expected
    assert [name for name, _ in marking.hand_ins([tmp_path / "ann"])] == ["lesson.ipynb"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "No notebook (*.ipynb) is named"),
        (["{empty}"], "none is in a folder that is named"),
        (["{folder}/missing"], "missing is no folder and no file"),
        (["{folder}", "--csv", "{folder}/a.ipynb"], "must end with .csv"),
        (["{folder}", "--csv", "{folder}/missing/a.csv"], "a.csv cannot be written: No such file"),
        (["{folder}", "--csv", "{folder}/folder.csv"], "folder.csv cannot be written"),
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
    for name in ("x/folder.csv", "x/broken", "empty"):
        (tmp_path / name).mkdir()
    (tmp_path / "x/broken/a.ipynb").write_text("[]")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as end:
        command.main([argument.format(**places) for argument in arguments])
    assert end.value.code == 2 and said in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


def test_whoever_stops_it_keeps_what_was_marked(tmp_path, capsys, monkeypatch):
    def mark(name, *rest, **limits):
        if name == "b.ipynb":
            raise KeyboardInterrupt
        return marking.Mark(name, {"0.2": "passed"})

    monkeypatch.setattr(marking, "mark", mark)
    for name in "abc":
        hand_in(tmp_path / f"{name}.ipynb", ["1"])
    assert command.main([str(tmp_path), "--csv", str(tmp_path / "a.csv")]) == 1
    rows = (tmp_path / "a.csv").read_text(encoding="utf-8-sig").splitlines()[1:]
    assert rows == ["a.ipynb,passed,", *(f"{n}.ipynb,,marking was stopped" for n in "bc")]
    assert "a.ipynb passed" in capsys.readouterr().out


def test_readme_names_commands_that_exist():
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Teaching with it")[2]
    lines = re.findall(r"python -m helpers\.checks ([^\n`]+)", section.partition("\n## ")[0])
    assert len(lines) == 2
    for line in lines:
        command._parser().parse_args(shlex.split(line))


# --- without solutions ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handed out") / "new"
    assert (
        command._hand_out(command._parser().parse_args(["--without-solutions", str(folder)])) == 0
    )
    return folder


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_copy_lacks_the_solutions_and_nothing_else(path, copies):
    copy = copies / path.name
    before, after = (json.loads(p.read_text(encoding="utf-8")) for p in (path, copy))
    solutions = 0
    for old, new in zip(before["cells"], after["cells"], strict=True):
        source, rest = "".join(old.pop("source")), "".join(new.pop("source"))
        assert old == new
        for solution in re.findall(
            "<details>\n?<summary>Solution</summary>.*?</details>", source, re.S
        ):
            solutions += 1
            (code,) = FENCE.findall(solution)
            assert code not in copy.read_text(encoding="utf-8").replace("\\n", "\n")
            source = source.replace(solution + "\n", "").replace(solution, "")
        assert rest == source
    assert solutions == len(marking._lesson(copy).exercises) >= 3
    assert "<summary>Solution" not in copy.read_text(encoding="utf-8")
    assert handouts.without_solutions(copy).encode() == copy.read_bytes()  # all else, byte for byte
    assert (
        json.dumps(json.loads(path.read_text("utf-8")), indent=1, ensure_ascii=False) + "\n"
    ).encode() == (path.read_bytes())


def test_only_the_solution_goes_from_a_cell(tmp_path):
    folded = "<details><summary>{}</summary>\n\n{}\n\n</details>"
    parts = [
        folded.format("Hint 1", "Ä"),
        folded.format("Solution", "x = 1"),
        folded.format("More", 2),
    ]
    nbformat.write(new_notebook(cells=[new_markdown_cell("\n".join(parts))]), tmp_path / "a.ipynb")
    (cell,) = json.loads(handouts.without_solutions(tmp_path / "a.ipynb"))["cells"]
    assert "".join(cell["source"]) == "\n".join([parts[0], parts[2]])
