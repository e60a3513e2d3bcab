"""Run a notebook's code where it may hang, crash or eat memory, and read what its checks said.

No limit of the operating system is the same everywhere: resource.setrlimit is missing on Windows,
macOS ignores most of it, and torch alone reserves more addresses than it ever uses. So the kernel,
with all processes that it started, is looked at five times a second, and ended beyond its limits.
"""

import ast
import os
import tempfile
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

import psutil
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

import helpers
from helpers.errors import SlipError

# Asked of the kernel directly, behind the last cell: whatever is printed or shown counts for nothing.
LATEST = '__import__("sys").modules["helpers.checks.core"].latest'
INTERVAL = 0.2  # seconds


def run(code, minutes, megabytes):
    """Execute the cells (list of sources) in a kernel and an empty folder of their own.

    Returns {number: status}: for each check that was called, what its last call found. Cells may
    raise. Raises SlipError, with the reason, where the kernel ended before its last cell did, by
    itself or because it took more than this time or this memory (all its processes together).
    """
    client, watch = _client(code), Watch(minutes, megabytes)
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
            open(os.devnull, "wb") as nowhere,
            client.setup_kernel(
                cwd=folder, env=_environment(folder), stdout=nowhere, stderr=nowhere
            ),
        ):
            watch.begin(client.km.provisioner.pid, folder)
            with closing(watch):
                return _execute(client)
    except Exception as error:  # whatever it is, the next notebook gets its turn
        reason = watch.reason or f"its kernel ended ({type(error).__name__})"
        cell = f"{client.code_cells_executed} of {len(code)}"
        raise SlipError(f"{reason}, in code cell {cell}") from None


class Watch(threading.Thread):
    """Ends a process, and all that it has started, beyond its limits; `reason` then says which.

    A thread, as messages that never end would keep an event loop from looking at the clock.
    """

    def __init__(self, minutes, megabytes):
        super().__init__(daemon=True)
        self.minutes, self.megabytes = minutes, megabytes
        self.reason = ""
        self.over = threading.Event()

    def begin(self, pid, folder):
        """folder: what IPYTHONDIR is for this process alone, and for all that it starts."""
        self.first, self.folder = psutil.Process(pid), folder
        self.family = {self.first}
        self.start()

    def run(self):
        end = time.monotonic() + 60 * self.minutes
        while not self.reason and not self.over.wait(INTERVAL):
            if self._memory() > self.megabytes:
                self.reason = f"it took more than {self.megabytes:g} MB of memory"
            elif time.monotonic() > end:
                self.reason = f"it was not done after {self.minutes:g} minutes"
        self._kill()

    def close(self):
        """End them all, and wait for it."""
        self.over.set()
        self.join()

    def _memory(self):
        """Megabytes in use; what several processes share counts for each."""
        self._meet()
        used = 0
        for process in self.family:
            with suppress(psutil.Error):
                used += process.memory_info().rss / 1e6
        return used

    def _meet(self):
        """Children are known by their parent or, if that has ended, by their environment."""
        with suppress(psutil.Error):
            self.family.update(self.first.children(recursive=True))
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.environ().get("IPYTHONDIR") == self.folder:
                    self.family.add(process)

    def _kill(self):
        self._meet()
        for process in self.family:
            with suppress(psutil.Error):
                process.kill()


class _Client(NotebookClient):
    """Keeps nothing of what cells show: an endless print would fill the memory of this process."""

    def process_message(self, msg, cell, cell_index):
        if msg["msg_type"] == "status":  # the end of a cell
            super().process_message(msg, cell, cell_index)


def _client(code):
    """Whatever kernel a file names: the one of this Python, not another of the same name."""
    nb = new_notebook(cells=[new_code_cell(source) for source in code])
    client = _Client(nb, allow_errors=True, record_timing=False, shutdown_kernel="immediate")
    client.create_kernel_manager().kernel_spec_manager.kernel_dirs = []
    return client


def _environment(folder):
    """Helpers are found, panels train at once, and the user's own IPython settings stay out."""
    paths = [str(Path(helpers.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "COURSE_FOREGROUND": "1",
        "IPYTHONDIR": folder,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def _execute(client):
    for i, cell in enumerate(client.nb.cells):
        client.execute_cell(cell, i)
    asked = client.kc.execute("", silent=True, user_expressions={"latest": LATEST})
    answer = client.wait_for_reply(asked)["content"]["user_expressions"]["latest"]
    if answer["status"] == "error":  # no cell has imported the checks
        return {}
    return dict(ast.literal_eval(answer["data"]["text/plain"]))
