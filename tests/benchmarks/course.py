"""What does the course ask of a machine: time, memory, disk?

    python tests/benchmarks/course.py [--quick] [--suite]

Each lesson runs in a fresh kernel, panels included (COURSE_FOREGROUND), --repetitions times: wall
seconds to its end, and the kernel's resident memory at its end and at its highest, as Linux counts
it in /proc. JupyterLab: its server after it served its page and a lesson; to that comes the largest
kernel. Import times are those of `python -c "import ..."` less those of `python -c ""`. --suite
runs the notebooks under nbval and then all of pytest, which takes minutes.
"""

import json
import os
import re
import secrets
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path
from urllib.request import urlopen

import measure
import nbformat
import psutil

OPTIONS = [
    ("lesson", "", "only lessons whose names begin so; every lesson"),
    ("repetitions", 3, "how often each time is taken"),
    ("suite", False, "also time the tests of the notebooks, and all tests"),
]
QUICK = {"repetitions": 1, "lesson": "00"}
MODULES = ("helpers", "helpers.training", "helpers.live", "helpers.checks")
MODULES += ("numpy", "torch", "gymnasium", "matplotlib.pyplot", "ipywidgets")
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
        size = path.stat().st_size / 1000
        rows.append(
            [path.stem, *map(measure.spread, (seconds, resident, peak), (1, 0, 0)), f"{size:.0f}"]
        )
        print(f"{path.stem}: {max(seconds):.1f} s", flush=True)
    head = ["lesson", "wall s", "MB at its end", "MB at its highest", "stored, kB"]
    measure.table("Lessons, each in a fresh kernel: median (range)", head, rows)
    return memory


def server(lesson):
    """MB of JupyterLab's server, all its processes, after it served its page and this lesson."""
    with tempfile.TemporaryDirectory() as folder:
        folder, token = Path(folder), secrets.token_hex(16)
        places = {f"JUPYTER_{name}_DIR": str(folder) for name in ("CONFIG", "DATA", "RUNTIME")}
        options = "--no-browser --allow-root --ip=127.0.0.1 --port=0".split()
        command = [sys.executable, "-m", "jupyterlab", *options, str(lesson.parent)]
        command.append(f"--IdentityProvider.token={token}")
        process = psutil.Popen(command, env=os.environ | places, stderr=subprocess.DEVNULL)
        try:
            address = wait_for(lambda: address_in(folder))
            for page in ("lab", f"api/contents/{lesson.name}", "api/kernelspecs"):
                urlopen(f"{address}{page}?token={token}").read()
            family = [process, *process.children(recursive=True)]
            return sum(member.memory_info().rss for member in family) / 1e6
        finally:
            process.terminate()
            process.wait()


def address_in(folder):
    texts = [path.read_text() for path in folder.glob("jpserver-*.json")]
    return texts and texts[0] and json.loads(texts[0])["url"]


def wait_for(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "JupyterLab did not start"
        time.sleep(0.1)
    return found


def imports(repetitions):
    def seconds(code):
        command = [sys.executable, "-c", code]
        return [
            s.wall for s in measure.repeat(lambda: subprocess.run(command, check=True), repetitions)
        ]

    bare = measure.median(seconds(""))
    rows = [
        [module, measure.spread([s - bare for s in seconds(f"import {module}")])]
        for module in MODULES
    ]
    measure.table("Import, files in the system's cache: median (range)", ["", "wall s"], rows)


def install():
    """Print what the installed packages take on disk."""
    root = Path(sysconfig.get_path("purelib"))
    sizes = {
        entry.name: sum(p.stat().st_size for p in (entry, *entry.rglob("*")) if p.is_file()) / 1e6
        for entry in root.iterdir()
    }
    largest = sorted(sizes, key=sizes.get, reverse=True)[:6]
    rows = [
        ["all packages", f"{sum(sizes.values()):.0f}"],
        *([n, f"{sizes[n]:.0f}"] for n in largest),
    ]
    measure.table("Installed in this environment, whatever it is for", ["", "MB"], rows)


def suite():
    """Wall seconds of the notebooks under nbval, and of all tests."""
    if (os.cpu_count() or 1) < 2:
        print(
            "The tests run in two processes, but this machine has one core: expect twice the time."
        )
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
        rows = [
            ["JupyterLab's server", f"{lab:.0f}"],
            ["with the largest kernel", f"{together:.0f}"],
        ]
        measure.table("JupyterLab and one kernel", ["", "MB"], rows)
    else:
        print("Memory is read from /proc, which only Linux has: lessons are not measured.")
    imports(options.repetitions)
    install()
    nbval, everything = suite() if options.suite else (None, None)
    measure.print_bars(
        ("kernel after any lesson", afterwards, 600, " MB"),
        ("JupyterLab and the largest kernel, at its highest", together, 1000, " MB"),
        ("notebooks under nbval (--suite)", nbval, 300, " s"),
        ("all of pytest (--suite)", everything, 600, " s"),
    )


if __name__ == "__main__":
    main()
