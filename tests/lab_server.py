"""JupyterLab without a window, with settings of its own, as tests and a benchmark need it."""

import json
import os
import secrets
import socket
import sys
import time
from contextlib import contextmanager

import psutil  # comes with ipykernel

PATIENCE = 180  # seconds; for what takes a few, since test machines are slow and shared


@contextmanager
def jupyterlab(folder, *options, **process):
    """A server that keeps all its files in this folder: (process, address, token)."""
    names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
    env = os.environ | {f"JUPYTER_{name}": str(folder / name) for name in names}
    names = ("SETTINGS_DIR", "WORKSPACES_DIR")
    env |= {f"JUPYTERLAB_{name}": str(folder / name) for name in names}
    env.pop("COURSE_FOREGROUND", None)
    token = secrets.token_hex(16)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options]
    command.append(f"--IdentityProvider.token={token}")
    with open(folder / "log", "w") as log:
        server = psutil.Popen(command, env=env, stdout=log, stderr=log, **process)
    try:
        yield server, _address(server, folder), token
    finally:
        family = [server, *server.children(recursive=True)]
        server.terminate()  # it ends its kernels
        for survivor in psutil.wait_procs(family, timeout=10)[1]:
            survivor.kill()
        server.wait()


def quiet(folder):
    """Settings with which JupyterLab asks nothing and looks nowhere for news."""
    plugin = "@jupyterlab/apputils-extension"
    path = folder / f"SETTINGS_DIR/{plugin}/notification.jupyterlab-settings"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"fetchNews": "false", "checkForUpdates": False}))


def _address(server, folder):
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end and server.poll() is None:
        for path in (folder / "RUNTIME_DIR").glob("jpserver-*.json"):
            if (text := path.read_text()) and _listens(at := json.loads(text)):
                return at["url"]
        time.sleep(0.05)
    raise TimeoutError("JupyterLab did not start:\n" + (folder / "log").read_text()[-2000:])


def _listens(at):
    """Whether connections are taken; the file may be there a moment earlier."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", at["port"])) == 0
