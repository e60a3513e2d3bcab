"""Nobody else can reach a running lesson, nothing typed is evaluated, the lock can be audited."""

import io
import json
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from ipaddress import ip_address
from urllib.error import URLError
from urllib.request import Request, urlopen

import audit_lock
import ipywidgets as widgets
import pytest
from execute_notebooks import LESSONS
from jupyter_client import BlockingKernelClient
from lab_server import PATIENCE, jupyterlab
from lesson_cells import Lesson

from helpers.live import LivePanel, learning_curves

ROOT = LESSONS.parent
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
def kernel(folder, address, token):
    """A kernel that JupyterLab has started, as it does when a lesson is opened."""
    request = Request(f"{address}api/kernels", b"{}", {"Authorization": f"token {token}"})
    with urlopen(request) as answer:
        number = json.load(answer)["id"]
    path = folder / "RUNTIME_DIR" / f"kernel-{number}.json"
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


def test_a_lesson_that_runs_is_open_to_nobody_else(tmp_path):
    """As README starts it, to the lesson's first panel."""
    lesson = Lesson(0)
    lab = jupyterlab(tmp_path, str(lesson.path.relative_to(ROOT)), cwd=ROOT)
    with lab as (server, url, token), kernel(tmp_path, url, token) as client:
        for cell in lesson.code():
            reply = client.execute_interactive(cell.source, timeout=PATIENCE)
            assert reply["content"]["status"] == "ok"
            if "LivePanel(" in cell.source:
                break
        found = listening(server)  # while the panel trains
        assert len(found) >= 6, "the server and the kernel's five channels were not seen"
        assert open_to_others(found) == []


# --- what is evaluated ----------------------------------------------------------------------------

# Without the rules on assert and on passwords, for which it takes every token.
BANDIT = (
    "ruff check --isolated --no-cache --preview --select S --ignore S101,S105,S106,S107".split()
)


def test_nothing_is_evaluated():
    """flake8-bandit's rules find eval, exec, pickle, subprocess, os.system and their like."""
    command = [sys.executable, "-m", *BANDIT, "--output-format", "concise", "helpers", "notebooks"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def texts(widget):
    """The HTML that a widget and those within it show."""
    own = [widget.value] if isinstance(widget, widgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def training(typed):
    """A run that stops with the typed text in its error."""
    raise ValueError(typed)
    yield


def test_what_is_typed_into_a_panel_stays_text(monkeypatch):
    monkeypatch.delenv("COURSE_FOREGROUND")
    panel = LivePanel(training, learning_curves(), typed=widgets.Text(description="typed"))
    panel._controls["typed"].value = MARKUP
    assert MARKUP in panel.wait()
    shown = " ".join(texts(panel._box))
    assert shown.count("&lt;img") == 2 and "<img" not in shown  # in the table, in the status
    panel.close()


# --- the audit of the lock ------------------------------------------------------------------------


@pytest.fixture
def service(monkeypatch):
    """A function that lets OSV answer in a certain way: a list to which the queries are added."""

    def answers(reply):
        def answer(request, timeout):
            asked.append(json.loads(request.data)["queries"])
            return io.BytesIO(reply(asked[-1]).encode())

        asked = []
        monkeypatch.setattr(audit_lock, "urlopen", answer)
        return asked

    return answers


def known(queries, weak=()):
    """OSV's answer, where the packages of these names have an advisory."""
    names = [query["package"]["name"] for query in queries]
    vulns = [{"vulns": [{"id": "GHSA-1"}]} if name in weak else {} for name in names]
    return json.dumps({"results": vulns})


def test_the_whole_lock_is_asked_about(service, capsys):
    asked = service(known)
    assert audit_lock.main([]) == 0
    locked = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    (queries,) = asked
    assert len(queries) == len(locked) - 1  # the last is "-e ."
    assert {"package": {"name": "pywin32", "ecosystem": "PyPI"}, "version": "312"} in queries
    assert capsys.readouterr().out == f"0 of {len(queries)} packages have known advisories.\n"


def test_an_advisory_is_told(service, capsys):
    service(lambda queries: known(queries, weak={"pillow"}))
    assert audit_lock.main([]) == 1
    assert "pillow 13.0.0: https://osv.dev/GHSA-1" in capsys.readouterr().out


def busy(_queries):
    raise URLError("503")


@pytest.mark.parametrize(
    "reply",
    [
        busy,
        lambda queries: "<html>log in first</html>",
        lambda queries: '{"results": []}',
        lambda queries: "[]",
    ],
    ids=["busy", "a page", "too few", "something else"],
)
def test_no_answer_is_told_loudly(service, capsys, reply):
    service(reply)
    assert audit_lock.main([]) == 2
    assert capsys.readouterr().err.startswith(f"NOT CHECKED: {audit_lock.SERVICE} gave no answer (")


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
    said = f"SlipError: The course runs on Python 3.11 to 3.14, but this is Python {text}."
    assert said in done.stderr


def test_the_range_of_pythons_is_one():
    assert "With Python 3.11 or newer (up to 3.14)" in (ROOT / "README.md").read_text("utf-8")
    source = (ROOT / "helpers/__init__.py").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in source
