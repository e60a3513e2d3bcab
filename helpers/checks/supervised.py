"""Run a notebook's code where it may hang, crash or eat memory, and read what its checks said.

A worker process starts the kernel and drives it; this process looks five times a second at both and
at all that they started, and ends them beyond their limits. No limit of the operating system is the
same everywhere: resource.setrlimit is missing on Windows, and macOS ignores most of it.
"""

import ast
import multiprocessing
import os
import sys
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import helpers
from helpers.errors import SlipError

# Asked of the kernel directly, behind the last cell: whatever is printed or shown counts for nothing.
LATEST = '__import__("sys").modules["helpers.checks.core"].latest'
INTERVAL = 0.2  # seconds
workers = multiprocessing.get_context("spawn")
if sys.platform == "linux":  # faster, as the worker then need not import all this anew
    workers = multiprocessing.get_context("forkserver")
    workers.set_forkserver_preload([__name__])


def run(code, minutes, megabytes):
    """Execute the cells (list of sources) in a kernel and a new folder of their own.

    Returns {number: status}: for each check that was called, what its last call found. Cells may
    raise. Raises SlipError, with the reason, where the kernel ended before its last cell did, by
    itself or because it took more than this time or this memory (all its processes together).
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        connection, other_end = workers.Pipe()
        worker = workers.Process(target=_work, args=(other_end, code, folder), daemon=True)
        worker.start()
        other_end.close()
        family = {psutil.Process(worker.pid)}
        try:
            return _answer(connection, family, len(code), minutes, megabytes)
        finally:
            _end(family, folder)
            connection.close()


def _work(connection, code, folder):
    """What the worker does: send the number of each cell as it begins, at last the statuses."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    for standard in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), standard)
    paths = [str(Path(helpers.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    # Panels train at once, the user's own settings of IPython stay out, and no file is left behind.
    os.environ.update(COURSE_FOREGROUND="1", IPYTHONDIR=folder, TMPDIR=folder)
    tempfile.tempdir = folder
    nb = new_notebook(cells=[new_code_cell(source) for source in code])
    client = NotebookClient(nb, allow_errors=True, record_timing=False)
    # The kernel of this Python, not another of the same name.
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []
    with client.setup_kernel(cwd=folder):
        for i, cell in enumerate(nb.cells):
            connection.send(i + 1)
            client.execute_cell(cell, i)
        connection.send(_latest(client))
        connection.recv()  # never comes: the kernel's children are found while it lives


def _end_with_parent():
    """Else an endless hand-in would go on where somebody ends the marking process."""
    multiprocessing.parent_process().join()
    os._exit(1)  # by which the kernel ends itself


def _latest(client):
    asked = client.kc.execute("", silent=True, user_expressions={"latest": LATEST})
    answer = client.wait_for_reply(asked)["content"]["user_expressions"]["latest"]
    if answer["status"] == "error":  # no cell has imported the checks
        return {}
    return dict(ast.literal_eval(answer["data"]["text/plain"]))


def _answer(connection, family, cells, minutes, megabytes):
    (worker,) = family
    end, cell, reason = time.monotonic() + 60 * minutes, 0, ""
    while not reason:
        try:
            said = connection.recv() if connection.poll(INTERVAL) else cell
        except (EOFError, OSError):  # the worker is gone, since its kernel is, or by a hand-in
            said, reason = cell, "its kernel ended"
        if isinstance(said, dict):
            return said
        cell = said
        if _memory(worker, family) > megabytes:
            reason = f"it took more than {megabytes:g} MB of memory"
        elif time.monotonic() > end:
            reason = f"it was not done after {minutes:g} minutes"
    raise SlipError(f"{reason}, in code cell {cell} of {cells}")


def _memory(worker, family):
    """Megabytes in use; what several processes share counts for each. Children join the family."""
    with suppress(psutil.Error):
        family.update(worker.children(recursive=True))
    used = 0
    for process in family:
        with suppress(psutil.Error):
            used += process.memory_info().rss / 1e6
    return used


def _end(family, folder):
    """End them all, and their children: known by their parent or, if it has ended, environment."""
    for process in [*family, *psutil.process_iter()]:
        with suppress(psutil.Error):
            if process in family or process.environ().get("IPYTHONDIR") == folder:
                family.update([process, *process.children(recursive=True)])
    for process in family:
        with suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(family, timeout=5)
