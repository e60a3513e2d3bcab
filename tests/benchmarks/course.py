"""What does the course ask of a machine: time and memory?

    python tests/benchmarks/course.py [--quick] [--suite]

Each lesson runs in a fresh kernel, panels included (COURSE_FOREGROUND), --repetitions times: wall
seconds to its end, and the kernel's resident memory at its end and at its highest, as Linux counts
it in /proc. JupyterLab: its server after it served its page and a lesson; to that comes the largest
kernel. --suite runs the notebooks under nbval and then all of pytest, which takes minutes.
"""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.request import urlopen

import measure
import nbformat

OPTIONS = [
    ("lesson", "", "only lessons whose names begin so; every lesson"),
    ("repetitions", 3, "how often each time is taken"),
    ("suite", False, "also time the tests of the notebooks, and all tests"),
]
QUICK = {"repetitions": 1, "lesson": "00"}
MEMORY = "print(open('/proc/self/status').read())"


def run_lesson(path):
    """Wall seconds, and MB at the end and at the highest, of a lesson in a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MEMORY))
    clock = measure.Clock()
    measure.execute(notebook, path.parent)
    return clock.read().wall, *(
        int(re.search(rf"{name}:\s*(\d+) kB", notebook.cells[-1].outputs[0].text)[1]) / 1000
        for name in ("VmRSS", "VmHWM")
    )


def lessons(paths, repetitions):
    """Print a table; the largest MB of each lesson's kernels, at the end and at the highest."""
    rows, memory = [], {}
    for path in paths:
        runs = [run_lesson(path) for _ in range(repetitions)]
        seconds, resident, peak = zip(*runs)
        memory[path] = max(resident), max(peak)
        size = f"{path.stat().st_size / 1000:.0f}"
        rows.append([path.stem, *map(measure.spread, (seconds, resident, peak), (1, 0, 0)), size])
        print(f"{path.stem}: {max(seconds):.1f} s", flush=True)
    head = ["lesson", "wall s", "MB at its end", "MB at its highest", "stored, kB"]
    measure.table("Lessons, each in a fresh kernel: median (range)", head, rows)
    return memory


def server(lesson):
    """MB of JupyterLab's server, all its processes, after it served its page and this lesson."""
    from lab_server import jupyterlab  # measure has said where

    options = "--ip=127.0.0.1", "--port=0", str(lesson.parent)
    with tempfile.TemporaryDirectory() as folder:
        with jupyterlab(Path(folder), *options) as (process, address, token):
            for page in ("lab", f"api/contents/{lesson.name}", "api/kernelspecs"):
                urlopen(f"{address}{page}?token={token}").read()
            family = [process, *process.children(recursive=True)]
            return sum(member.memory_info().rss for member in family) / 1e6


def suite():
    """Wall seconds of the notebooks under nbval, and of all tests: both in two processes."""
    seconds = []
    for arguments in (["notebooks"], []):
        command = [sys.executable, "-m", "pytest", "-q", *arguments]
        clock = measure.Clock()
        code = subprocess.run(command, cwd=measure.LESSONS.parent).returncode
        seconds.append(clock.read().wall if code == 0 else None)
    return seconds


def main():
    options = measure.start(__doc__, OPTIONS, QUICK)
    os.environ |= {"COURSE_FOREGROUND": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    paths = sorted(measure.LESSONS.glob(f"{options.lesson}*.ipynb"))
    together = afterwards = None
    if Path("/proc/self/status").exists():
        memory = lessons(paths, options.repetitions)
        largest = max(memory, key=lambda path: memory[path][1])
        lab = server(largest)
        together = lab + memory[largest][1]
        afterwards = max(end for end, _ in memory.values())
        rows = ["JupyterLab's server", f"{lab:.0f}"], ["with the largest kernel", f"{together:.0f}"]
        measure.table("JupyterLab and one kernel", ["", "MB"], rows)
    else:
        print("Memory is read from /proc, which only Linux has: lessons are not measured.")
    nbval, everything = suite() if options.suite else (None, None)
    measure.print_bars(
        ("kernel after any lesson", afterwards, 600, " MB"),
        ("JupyterLab and the largest kernel, at its highest", together, 1000, " MB"),
        ("notebooks under nbval (--suite)", nbval, 600, " s"),
        ("all of pytest (--suite)", everything, 720, " s"),
    )


if __name__ == "__main__":
    main()
