"""Nobody else can reach a running lesson, nothing typed is evaluated, the lock can be audited."""

import json
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from urllib.request import Request, urlopen

import audit_lock
import ipywidgets as widgets
import nbformat
import psutil  # comes with ipykernel
import pytest
from execute_notebooks import LESSONS
from jupyter_client import BlockingKernelClient
from test_browser import _address

from helpers.live import LivePanel

ROOT = LESSONS.parent
PATIENCE = 120  # seconds; for what takes a few, since test machines are slow and shared
MARKUP = '<img src=x onerror="alert(1)">'


# --- what listens ---------------------------------------------------------------------------------


def listening(process):
    """Addresses at which the process or its children await others, as ip:port."""
    family = [process, *process.children(recursive=True)]
    found = [c for member in family for c in member.net_connections("inet")]
    return [c.laddr for c in found if c.laddr and not c.raddr]


def open_to_others(addresses):
    return [address for address in addresses if not ip_address(address.ip).is_loopback]


@contextmanager
def jupyterlab(folder):
    """JupyterLab as README starts it, but without a window: (process, address, token)."""
    places = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")
    env = os.environ | {name: str(folder / name) for name in places}
    env.pop("COURSE_FOREGROUND", None)
    token = secrets.token_hex(16)
    options = ["--no-browser", "--allow-root", f"--IdentityProvider.token={token}"]
    command = [sys.executable, "-m", "jupyterlab", "notebooks/00_start_here.ipynb", *options]
    with open(folder / "log", "w") as log:
        server = psutil.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        yield server, _address(server, folder), token
    finally:
        family = [server, *server.children(recursive=True)]
        server.terminate()  # it ends its kernels
        _, alive = psutil.wait_procs(family, timeout=10)
        for survivor in alive:
            survivor.kill()


@contextmanager
def kernel(folder, address, token):
    """A kernel that JupyterLab has started, as it does when a lesson is opened."""
    request = Request(f"{address}api/kernels", b"{}", {"Authorization": f"token {token}"})
    with urlopen(request) as answer:
        number = json.load(answer)["id"]
    path = folder / "JUPYTER_RUNTIME_DIR" / f"kernel-{number}.json"
    client = BlockingKernelClient(connection_file=str(path))
    client.load_connection_file()
    client.start_channels()
    try:
        wait_for_ready(client)
        yield client
    finally:
        client.stop_channels()


def wait_for_ready(client):
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return client.wait_for_ready(timeout=PATIENCE)
        except RuntimeError:  # jupyter_client takes a kernel that is slow to start for dead
            if time.monotonic() > end:
                raise


def cells_to_the_first_panel():
    """Sources of lesson 00's code cells, up to the one that makes its panel."""
    cells = nbformat.read(LESSONS / "00_start_here.ipynb", as_version=4).cells
    (last, *_) = [i for i, cell in enumerate(cells) if "LivePanel(" in cell.source]
    return [cell.source for cell in cells[: last + 1] if cell.cell_type == "code"]


def test_a_lesson_that_runs_is_open_to_nobody_else(tmp_path):
    with jupyterlab(tmp_path) as (server, url, token), kernel(tmp_path, url, token) as client:
        for source in cells_to_the_first_panel():
            reply = client.execute_interactive(source, timeout=PATIENCE)
            assert reply["content"]["status"] == "ok"
        found = listening(server)  # while the panel trains
        assert len(found) >= 6, "the server and the kernel's five channels were not seen"
        assert open_to_others(found) == []


def test_what_is_open_to_others_is_seen():
    with closing(socket.create_server(("0.0.0.0", 0))) as everywhere:
        with closing(socket.create_server(("127.0.0.1", 0))) as local:
            found = listening(psutil.Process())
            ports = {address.port for address in found}
            assert {everywhere.getsockname()[1], local.getsockname()[1]} <= ports
            outside = [address.port for address in open_to_others(found)]
            assert outside == [everywhere.getsockname()[1]]


# --- what is evaluated ----------------------------------------------------------------------------

# Without the rules on assert and on passwords, for which it takes every token.
BANDIT = (
    "ruff check --isolated --no-cache --preview --select S --ignore S101,S105,S106,S107".split()
)


def suspicious(*arguments, source=None):
    """What flake8-bandit's rules find: eval, exec, pickle, subprocess, os.system and their like."""
    command = [sys.executable, "-m", *BANDIT, "--output-format", "concise", *arguments]
    done = subprocess.run(command, cwd=ROOT, input=source, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.stdout.splitlines()[:-1]  # the last line sums up


def test_nothing_is_evaluated():
    assert suspicious("helpers", "notebooks") == []


@pytest.mark.parametrize(
    "source",
    [
        "eval(widget.value)",
        "exec(widget.value)",
        "import os; os.system(widget.value)",
        "import subprocess; subprocess.run(widget.value)",
        "import pickle; pickle.loads(widget.value)",
    ],
)
def test_what_evaluates_is_found(source):
    assert suspicious("-", source=source)


def texts(widget):
    """The HTML that a widget and those within it show."""
    own = [widget.value] if isinstance(widget, widgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def training(typed):
    """A run that stops with the typed text in its error."""
    raise ValueError(typed)
    yield


class Picture:
    width = 1

    def restart(self, settings):
        self.label = ", ".join(settings)

    def rows(self):
        return [("-", self.label, "")] if hasattr(self, "label") else []

    def png(self, scale=1):
        return b""


def test_what_is_typed_into_a_panel_stays_text(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND")
    panel = LivePanel(training, Picture(), typed=widgets.Text(description="typed"))
    panel._controls["typed"].value = MARKUP
    assert MARKUP in panel.wait()
    shown = " ".join(texts(panel._box))
    assert "&lt;img" in shown and "<img" not in shown
    panel.close()


# --- the audit of the lock ------------------------------------------------------------------------


@pytest.fixture
def service():
    """A function that makes a stand-in for OSV answer in a certain way; its address."""
    asked = []

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self):
            length = int(self.headers["Content-Length"])
            asked.append(json.loads(self.rfile.read(length))["queries"])
            self.send_response(server.status)
            self.end_headers()
            self.wfile.write(server.reply(asked[-1]).encode())

        def log_message(self, *_):
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, args=[0.01])
    thread.start()

    def answers(reply, status=200):
        server.reply, server.status = reply, status
        return f"http://127.0.0.1:{server.server_port}", asked

    yield answers
    server.shutdown()
    thread.join()
    server.server_close()


def known(weak=()):
    """OSV's answer, where the packages of these names have an advisory."""
    return lambda queries: json.dumps(
        {
            "results": [
                {"vulns": [{"id": "GHSA-1"}]} if query["package"]["name"] in weak else {}
                for query in queries
            ]
        }
    )


def test_the_whole_lock_is_asked_about(service, capsys):
    address, asked = service(known())
    assert audit_lock.main(["--service", address]) == 0
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (queries,) = asked
    assert len(queries) == len(locked) - 1  # the last is "-e ."
    assert {"package": {"name": "pywin32", "ecosystem": "PyPI"}, "version": "312"} in queries
    assert capsys.readouterr().out == f"0 of {len(queries)} packages have known advisories.\n"


def test_an_advisory_is_told(service, capsys):
    address, _ = service(known(weak={"pillow"}))
    assert audit_lock.main(["--service", address]) == 1
    assert "pillow 13.0.0: https://osv.dev/GHSA-1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("reply", "status"),
    [
        (known(), 503),
        (lambda queries: "<html>log in first</html>", 200),
        (lambda queries: '{"results": []}', 200),
        (lambda queries: "[]", 200),
    ],
    ids=["busy", "a page", "too few", "something else"],
)
def test_no_answer_is_told_loudly(service, capsys, reply, status):
    address, _ = service(reply, status)
    assert audit_lock.main(["--service", address]) == 2
    assert capsys.readouterr().err.startswith(f"NOT CHECKED: {address} gave no answer (")


def test_an_unreachable_service_is_told_loudly():
    with closing(socket.create_server(("127.0.0.1", 0))) as gone:
        port = gone.getsockname()[1]
    command = [sys.executable, audit_lock.__file__, "--service", f"http://127.0.0.1:{port}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("NOT CHECKED")


# --- the range of Pythons -------------------------------------------------------------------------


@pytest.mark.parametrize("version", [(3, 9, 1), (3, 10, 13), (3, 15, 0)])
def test_other_pythons_are_refused_in_a_sentence(version):
    text = ".".join(map(str, version))
    pretend = f"import sys; sys.version_info, sys.version = {version}, '{text} (main)'"
    command = [sys.executable, "-c", f"{pretend}; import helpers"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert f"SlipError: The course runs on Python 3.11 to 3.14, but this is Python {text}." in (
        done.stderr
    )


def test_the_range_of_pythons_is_one():
    assert "With Python 3.11 or newer (up to 3.14)" in (ROOT / "README.md").read_text("utf-8")
    assert (
        "(3, 11) <= sys.version_info[:2] <= (3, 14)" in (ROOT / "helpers/__init__.py").read_text()
    )
