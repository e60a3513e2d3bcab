"""README's recipe for marking a class: one bad hand-in stops no other, and no stored verdict counts."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parent.parent
SOLVED = """
from helpers import checks
checks.totals_per_environment(lambda rewards: rewards.sum(0))
"""


def hand_in(folder, name, source):
    stored = new_output("stream", text="Exercise 0.1 passed\n")
    nb = new_notebook(cells=[new_code_cell(source, outputs=[stored])])
    nb.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(nb, folder / name)


@pytest.mark.hardening
@pytest.mark.skipif(not shutil.which("bash"), reason="the recipe is for a Unix shell")
def test_readmes_recipe(tmp_path):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (recipe,) = re.findall(r"^```sh\n(export COURSE_FOREGROUND.*?)^```", readme, re.M | re.S)
    folder = tmp_path / "handed_in"
    folder.mkdir()
    hand_in(folder, "endless.ipynb", "while True:\n    pass")
    hand_in(folder, "dead kernel.ipynb", "import os; os._exit(1)")
    hand_in(folder, "error.ipynb", f"{SOLVED.strip()}; 1 / 0")
    hand_in(folder, "solved.ipynb", SOLVED)
    (folder / "broken.ipynb").write_text("Exercise 0.1 passed")
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv/bin").symlink_to(Path(sys.executable).parent)
    recipe = recipe.replace("--timeout=300", "--timeout=5")
    environment = os.environ | {"LC_ALL": "C"}
    done = subprocess.run(
        ["bash", "-c", recipe], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    lines = done.stdout.splitlines()
    lost = [line.split(" did not run")[0] for line in lines if " did not run to its end" in line]
    assert lost == [f"handed_in/{name}.ipynb" for name in ("broken", "dead kernel", "endless")]
    assert lines[3:] == ["marked/solved.ipynb:Exercise 0.2 passed"]
