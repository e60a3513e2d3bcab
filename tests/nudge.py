"""Which outputs of a lesson would be others on another processor?

    python tests/nudge.py [--nudges 3] [notebook ...]

Another processor rounds sums in another order, and after some updates that is another run. Here each
initial weight of each network is multiplied by 1 + 1e-6 times noise instead: that diverges likewise,
on any machine. Without a name: every lesson in notebooks/.

Lists each cell whose text, alt text or picture is not the stored one, with the lines that differ. Such a
cell must carry the tag "varies-by-processor"; where one does not, the command exits with 1. Nothing
is stored.
"""

import argparse
import base64
import difflib
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from execute_notebooks import LESSONS, normalise
from lesson_kernel import client
from PIL import Image

TAG = "varies-by-processor"
STARTUP = """
def _nudge():
    import os, torch
    from helpers import networks
    noise = torch.Generator().manual_seed(int(os.environ["COURSE_NUDGE"]))
    def nudged(init):
        def made(self, *args, **options):
            init(self, *args, **options)
            with torch.no_grad():
                self.weight.mul_(1 + 1e-6 * torch.randn(self.weight.shape, generator=noise))
        return made
    for layer in (networks.AgentLinear, torch.nn.Linear):
        layer.__init__ = nudged(layer.__init__)
_nudge()
del _nudge
"""


def outputs_under(nudge, nb, folder):
    """A copy of nb, executed in this folder with one nudge of the initial weights, normalised."""
    again = nbformat.from_dict(nb)
    with tempfile.TemporaryDirectory() as home:
        startup = Path(home, "profile_default", "startup")
        startup.mkdir(parents=True)
        (startup / "00-nudge.py").write_text(STARTUP)
        before = dict(os.environ)
        os.environ |= {"IPYTHONDIR": home, "COURSE_NUDGE": str(nudge), "COURSE_FOREGROUND": "1"}
        try:
            client(again, folder).execute()
        finally:
            os.environ.clear()
            os.environ.update(before)
    return normalise(again)


def differences(stored, again):
    """(cell number, cell, lines that differ) for each cell that shows something else."""
    for number, (old, new) in enumerate(zip(stored.cells, again.cells, strict=True)):
        if old.cell_type == "code" and (lines := _differing_lines(old, new)):
            yield number, old, lines


def is_tagged(cell):
    return TAG in cell.metadata.get("tags", [])


def _differing_lines(old, new):
    lines = difflib.unified_diff(_texts(old), _texts(new), lineterm="", n=0)
    lines = [line for line in lines if line[:2] not in ("--", "++", "@@")]
    pictures = zip(_pictures(old), _pictures(new))
    return lines or ["(another picture)"] * any(a != b for a, b in pictures)


def _texts(cell):
    lines = []
    for output in cell.outputs:
        lines += output.get("text", "").splitlines()
        lines += output.get("data", {}).get("text/plain", "").splitlines()
        lines += [f"alt: {entry['alt']}" for entry in output.get("metadata", {}).values()]
    return lines


def _pictures(cell):
    """What each picture shows, whatever library wrote the file."""
    encoded = [output.get("data", {}).get("image/png") for output in cell.outputs]
    return [Image.open(io.BytesIO(base64.b64decode(p))).tobytes() for p in encoded if p]


def main(arguments=None):
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nudges", type=int, default=3)
    parser.add_argument("notebooks", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    untagged = set()
    for path in options.notebooks or sorted(LESSONS.glob("*.ipynb")):
        stored = nbformat.read(path, as_version=4)
        for nudge in range(1, options.nudges + 1):
            again = outputs_under(nudge, stored, path.resolve().parent)
            for number, cell, lines in differences(stored, again):
                mark = "" if is_tagged(cell) else ", NOT TAGGED"
                print(f"{path.stem} cell {number} ({cell.id}), nudge {nudge}{mark}")
                print(*(f"    {line}" for line in lines), sep="\n", flush=True)
                untagged |= {(path.stem, number)} if mark else set()
    for stem, number in sorted(untagged):
        print(f"{stem} cell {number} needs the tag {TAG}, or a claim that survives.")
    return int(bool(untagged))


if __name__ == "__main__":
    sys.exit(main())
