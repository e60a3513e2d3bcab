"""Execute lessons in a fresh kernel and store them in a form that two executions share.

    python tests/execute_notebooks.py [--check] [notebook ...]

Without a name: every lesson in notebooks/, in order. Code cells are formatted first. Where a cell
fails, the file stays as it was. --check executes nothing; it says which stored files differ from
their normal form, and exits with 1 if any does.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import nbformat
from lesson_kernel import client
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

LESSONS = Path(__file__).resolve().parent.parent / "notebooks"
METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": {"file_extension": ".py", "mimetype": "text/x-python", "name": "python"},
}
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
BLANK_LINE = " \n"  # with a space, since JupyterLab passes over empty lines
CHANGING_CELL_METADATA = ("ExecuteTime", "collapsed", "execution", "scrolled", "trusted")
CHANGING_TEXT = re.compile(r"0x[0-9a-fA-F]{8,}|ipykernel_\d+")  # an address; a process's path


def normalise(nb):
    """Remove from nb, in place, what differs from one execution to the next; return nb.

    Nothing is given away when a lesson is opened: outputs stay hidden until their cell has run, and
    cells that draw a figure, whose code and alt text say what it shows, are folded. JupyterLab shows
    the first line of a hidden output's text: it is made a blank one.
    """
    nb.metadata = nbformat.from_dict(METADATA)
    nb.nbformat_minor = 5
    for cell in nb.cells:
        for key in CHANGING_CELL_METADATA:
            cell.metadata.pop(key, None)
        if cell.cell_type == "code":
            cell.outputs = _merge_streams(filter(_has_content, cell.outputs))
            _begin_with_a_blank_line(cell.outputs[:1])
            view = cell.metadata.setdefault("jupyter", {})
            view["outputs_hidden"] = True
            if "plots.show(" in cell.source:
                view["source_hidden"] = True
    return nb


def _begin_with_a_blank_line(outputs):
    for output in outputs:
        texts = output.get("data", output)
        for key in [key for key in texts if key.partition("/")[0] == "text"]:
            texts[key] = BLANK_LINE + texts[key].removeprefix(BLANK_LINE)


def _has_content(output):
    """Drop the view of a widget, whose model id is random; return whether anything remains."""
    if "data" not in output:
        return True
    output.data.pop(WIDGET_VIEW, None)
    return bool(output.data)


def _merge_streams(outputs):
    """How often a stream was flushed depends on timing: join neighbours of one name."""
    merged = []
    for output in outputs:
        if merged and output.output_type == "stream" and merged[-1].get("name") == output.name:
            merged[-1].text += output.text
        else:
            merged.append(output)
    return merged


def problems(nb):
    """Return sentences on outputs that cannot be the same at the next execution."""
    return [
        f"cell {number} shows {match!r}, which differs at each execution: {_first_line(cell)}"
        for number, cell in _code_cells(nb)
        for output in cell.outputs
        for match in CHANGING_TEXT.findall(_text(output))
    ]


def warnings(nb):
    """Return sentences on what the cells wrote to stderr."""
    return [
        f"cell {number} writes to stderr ({_first_line(cell)}):\n{output.text.rstrip()}"
        for number, cell in _code_cells(nb)
        for output in cell.outputs
        if output.get("name") == "stderr"
    ]


def _code_cells(nb):
    return ((number, cell) for number, cell in enumerate(nb.cells) if cell.cell_type == "code")


def _first_line(cell):
    return repr(cell.source.strip().partition("\n")[0])


def _text(output):
    parts = [v for k, v in output.get("data", {}).items() if k.startswith("text/")]
    return "\n".join([output.get("text", ""), *parts])


def is_normal(path):
    """Return whether the stored file is, byte for byte, its own normal form."""
    text = path.read_bytes().decode("utf-8")
    return text == _dump(normalise(nbformat.reads(text, as_version=4)))


def execute(path):
    """Execute the notebook at path and store it, normalised. Raises what the execution raises."""
    nb = nbformat.reads(_formatted(path), as_version=4)
    client(nb, path.parent).execute()
    for sentence in warnings(normalise(nb)):
        print(f"WARNING {path.name}, {sentence}", file=sys.stderr)
    if found := problems(nb):
        raise SystemExit("\n".join(f"NOT STORED {path.name}, {sentence}" for sentence in found))
    path.write_bytes(_dump(nb).encode("utf-8"))


def _formatted(path):
    settings = ["--config", str(LESSONS.parent / "pyproject.toml"), "--stdin-filename", str(path)]
    command = [sys.executable, "-m", "ruff", "format", *settings, "-"]
    source = path.read_bytes()
    return subprocess.run(command, input=source, check=True, capture_output=True).stdout.decode()


def _dump(nb):
    return nbformat.writes(nb) + "\n"


def _report(path):
    begin = time.perf_counter()
    try:
        execute(path)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise SystemExit(f"{error}\nNOT STORED {path}: see the cell and its error above") from None
    except subprocess.CalledProcessError as error:
        raise SystemExit(f"NOT STORED {path}: {error.stderr.decode().strip()}") from None
    seconds = time.perf_counter() - begin
    print(f"{path.name}: {seconds:.1f} s, {path.stat().st_size / 1e3:.0f} kB", flush=True)


def main(arguments=None):
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="compare the stored files only")
    parser.add_argument("notebooks", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    paths = [path.resolve() for path in options.notebooks] or sorted(LESSONS.glob("*.ipynb"))
    if options.check:
        wrong = [path.name for path in paths if not is_normal(path)]
        hint = "; run: python tests/execute_notebooks.py "
        return f"not normalised: {', '.join(wrong)}{hint}NOTEBOOK" if wrong else 0
    os.environ |= {
        "COURSE_FOREGROUND": "1",  # a live panel runs once, at once, in its cell
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        "PYGAME_HIDE_SUPPORT_PROMPT": "1",
    }
    for path in paths:
        _report(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
