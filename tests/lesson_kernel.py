"""A lesson in a kernel of its own.

    python tests/lesson_kernel.py NOTEBOOK

executes the notebook, stores nothing, prints what its last cell printed, and fails where a cell
does.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

SECONDS_PER_CELL = 600


def client(nb, folder):
    """An nbclient that executes nb in this folder."""
    return NotebookClient(
        nb,
        timeout=SECONDS_PER_CELL,
        kernel_name="python3",
        extra_arguments=["--log-level=40"],  # no line about encryption from each kernel
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )


if __name__ == "__main__":
    path = Path(sys.argv[1])
    nb = client(nbformat.read(path, as_version=4), path.parent).execute()
    print("".join(output.get("text", "") for output in nb.cells[-1].outputs))
