"""What a fresh machine and Binder read: the lock, README's commands, binder/."""

import os
import re
import shutil
import subprocess
import sys
import tomllib

import pytest
from execute_notebooks import LESSONS

ROOT = LESSONS.parent
posix_only = pytest.mark.skipif(os.name == "nt", reason="written for a POSIX shell")


def lines(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_lock_pins_all_exactly_and_brings_neither_cuda_nor_an_index():
    *pins, last = lines("requirements.txt")
    assert last == "-e ."
    assert [pin for pin in pins if not re.fullmatch(r"[\w.-]+==[\w.]+( ; [^/]+)?", pin)] == []
    assert [pin for pin in pins if pin.startswith(("cuda", "nvidia", "triton"))] == []
    direct = {re.sub(r"\[.*\]", "", name) for name in project()["project"]["dependencies"]}
    assert direct <= {pin.partition(" ;")[0] for pin in pins}


def test_every_folder_of_helpers_is_installed():
    modules = (ROOT / "helpers").rglob("*.py")
    folders = {".".join(path.parent.relative_to(ROOT).parts) for path in modules}
    assert folders == set(project()["tool"]["setuptools"]["packages"])


def test_readme_has_two_commands_for_a_fresh_machine():
    readme = "\n".join(lines("README.md"))
    learn, test = re.findall(r"^```bash\n(.*?)\n```$", readme, re.DOTALL | re.MULTILINE)
    install = "python3 -m venv .venv && .venv/bin/pip install -r requirements.txt && "
    assert learn == install + ".venv/bin/jupyter lab notebooks/00_start_here.ipynb"
    assert test == install + ".venv/bin/pytest"
    assert (ROOT / "notebooks/00_start_here.ipynb").exists()


@pytest.mark.parametrize("arguments", [("check",), ("format", "--check")])
def test_code_and_notebooks_are_linted_and_formatted(arguments):
    command = [sys.executable, "-m", "ruff", *arguments, "--no-cache", "."]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@posix_only
@pytest.mark.parametrize("name", [".ci/run", "binder/postBuild"])
def test_scripts_can_run(name):
    assert os.access(ROOT / name, os.X_OK)
    subprocess.run(["bash", "-n", ROOT / name], check=True)


@posix_only  # as is repo2docker
def test_binder_reads_its_folder(tmp_path):
    assert lines("binder/requirements.txt")[1:] == [
        "--extra-index-url https://download.pytorch.org/whl/cpu",
        "-r ../requirements.txt",
    ]
    course = tmp_path / "course"
    shutil.copytree(ROOT / "binder", course / "binder")
    for name in ("pyproject.toml", "requirements.txt"):
        shutil.copy(ROOT / name, course)
    command = "repo2docker --no-build --debug --user-id 1000 --user-name jovyan".split()
    run = subprocess.run(
        [sys.executable, "-m", *command, str(course)], capture_output=True, text=True, timeout=120
    )
    dockerfile = run.stdout + run.stderr
    assert run.returncode == 0, dockerfile
    assert "Building conda environment for python=3.11" in dockerfile
    # The lock stands outside binder/, so all files have to be there before pip is called;
    # and pip reads "-e ." from the folder in which it is called.
    copied = dockerfile.index("COPY --chown=1000:1000 src/ ${REPO_DIR}/")
    installed = dockerfile.index('pip install --no-cache-dir -r "binder/requirements.txt"')
    assert copied < installed
    assert re.findall(r"^WORKDIR (.*)", dockerfile[:installed], re.MULTILINE)[-1] == "${REPO_DIR}"
    assert "binder/postBuild" in dockerfile[installed:]


def test_every_library_computes_in_one_thread():
    """NumPy's matrix products, loaded before, SciPy's, loaded after, and PyTorch's."""
    program = (
        "import numpy, torch, helpers, scipy.linalg\n"
        "from threadpoolctl import threadpool_info\n"
        "print(torch.get_num_threads(), *(pool['num_threads'] for pool in threadpool_info()))"
    )
    free = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=free,
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(run.stdout.split()) == {"1"}
