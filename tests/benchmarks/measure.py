"""What the benchmark commands share: clocks, medians and ranges, tables, and bars.

Importing this module holds PyTorch to one thread, here and in the programs that a command starts.
"""

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

import argparse
import math
import platform
import statistics
import sys
import time
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1]
LESSONS = TESTS.parent / "notebooks"
sys.path.append(str(TESTS))  # what the tests share


class Seconds(NamedTuple):
    cpu: float  # of this process, all its threads
    wall: float


class Clock:
    """CPU and wall seconds since it was made; what runs under paused() is not counted."""

    def __init__(self):
        self._start = _now()

    def read(self):
        return Seconds(*(now - start for now, start in zip(_now(), self._start)))

    @contextmanager
    def paused(self):
        before = self.read()
        yield
        self._start = [now - gone for now, gone in zip(_now(), before)]


def _now():
    return time.process_time(), time.perf_counter()


def repeat(function, times, warm_up=1):
    """Call function so many times, after calls that do not count: a list of Seconds."""
    results = []
    for _ in range(warm_up + times):
        clock = Clock()
        function()
        results.append(clock.read())
    return results[warm_up:]


def median(values):
    return statistics.median(values) if values else math.nan


def spread(values, digits=2):
    """The median and the range, as in "1.81 (1.70 to 2.02)"; infinity means never."""
    if not values:
        return "-"
    texts = [f"{x:.{digits}f}" for x in (median(values), min(values), max(values))]
    return "{} ({} to {})".format(*texts).replace("inf", "never")


def table(title, head, rows):
    """Print rows under a title, the first column to the left, the others to the right."""
    lines = [[str(field) for field in row] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    print(f"\n{title}")
    for first, *others in lines:
        fields = [field.rjust(width) for field, width in zip(others, widths[1:])]
        print("  ".join([first.ljust(widths[0]), *fields]), flush=True)


def print_bars(*bars):
    """Print what was to be reached: (what, value, limit, unit) each; value None: not measured.

    A value may be at most its limit, in a bar named "at least ..." at least.
    """
    rows = []
    for what, value, limit, unit in bars:
        if value is None or math.isnan(value):
            rows.append([what, f"{limit:.4g}{unit}", "-", "not measured"])
            continue
        gap = limit - value if what.startswith("at least") else value - limit
        verdict = f"missed by {gap:.3g}{unit}" if gap > 0 else "reached"
        rows.append([what, f"{limit:.4g}{unit}", f"{value:.3g}{unit}", verdict])
    table("Bars", ["", "bar", "measured", "verdict"], rows)


def start(doc, options, quick):
    """Parse the command line, and print on what machine this is.

    options: (name, default, help) each; quick: the defaults that --quick sets instead.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a first look")
    for name, default, text in options:
        kind = {"action": "store_true"} if default is False else {"type": type(default)}
        parser.add_argument(f"--{name}", default=default, help=f"{text} ({default!r})", **kind)
    if parser.parse_known_args()[0].quick:
        parser.set_defaults(**quick)
    parsed = parser.parse_args()
    print(machine(), flush=True)
    return parsed


def machine():
    """The machine and the versions that matter, in a sentence; holds PyTorch to one thread."""
    import torch

    torch.set_num_threads(1)
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "gymnasium", "numpy"))
    return (
        f"{(models or [platform.processor()])[0]}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.1f}; Python {platform.python_version()}, {packages}; one thread."
    )


def execute(notebook, folder):
    """Run a notebook's cells, in place, in a fresh kernel that works in this folder."""
    from lesson_kernel import client

    running = client(notebook, folder)
    running.timeout = None
    running.execute()
