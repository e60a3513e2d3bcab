"""The lessons' panels and other widgets in a real kernel under a storm of events: the first lesson's
by default, all of them at length under the marker hardening.

Cells and events are sent as JupyterLab sends them: a widget's messages go to a thread of their own,
so that they arrive while cells run. COURSE_FOREGROUND is not set. `pytest -s` shows the counts.
"""

import ast
import json
import os
import queue
import random
import re
import threading
import time
from pathlib import Path

import nbformat
import pytest
from jupyter_client import KernelManager
from lesson_cells import NOTEBOOKS, sampled

WITH_PANEL = [p for p in sorted(NOTEBOOKS.glob("*.ipynb")) if "LivePanel(" in p.read_text()]
CASES = [pytest.param((WITH_PANEL[0], 100), id="short")]  # a lesson, and the events of a storm
CASES += [
    pytest.param((p, 300), id=p.stem, marks=pytest.mark.hardening) for p in sampled(WITH_PANEL, 4)
]
PATIENCE = 240  # seconds; for what takes seconds, since test machines are slow and shared
EXPECTED = (  # what ipykernel says, some of it in its log alone
    "without encryption",
    "No such comm: ",  # an event came too late: its panel was closed
    "index out of bounds",  # or its player now offers fewer agents
    "KeyboardInterrupt",  # an interrupt came; "caught in kernel" where its cell had just ended
)


class Kernel:
    """A fresh kernel, and all that it complains of: errors and stderr, from whichever thread."""

    def __init__(self, log):
        self.manager = KernelManager()
        env = {k: v for k, v in os.environ.items() if k != "COURSE_FOREGROUND"}
        env["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), env.get("PYTHONPATH", "")])
        with open(log, "w") as stream:
            self.manager.start_kernel(cwd=NOTEBOOKS, env=env, stdout=stream, stderr=stream)
        self.log = open(log)  # read on from where it was read to
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(PATIENCE)
        self.complaints, self.stderr, self.events, self.thread = [], "", 0, None
        self.interrupted = []  # complaints of cells that were interrupted
        self.ended = {}  # when requests had ended, by id
        self._closing = threading.Event()
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        request = self.client.session.msg("create_subshell_request", {})
        self.client.control_channel.send(request)
        self.thread = self.client.get_control_msg(timeout=PATIENCE)["content"]["subshell_id"]

    def _listen(self):
        while not self._closing.is_set():
            try:
                message = self.client.get_iopub_msg(timeout=0.2)
            except queue.Empty:
                continue
            content = message["content"]
            if message["msg_type"] == "error":
                self.complaints.append("\n".join(content["traceback"]))
            elif message["msg_type"] == "stream" and content["name"] == "stderr":
                self.stderr += content["text"]  # which may come in parts
            elif message["msg_type"] == "status" and content["execution_state"] == "idle":
                self.ended[message["parent_header"].get("msg_id")] = time.monotonic()

    def close(self):
        self._closing.set()
        self._listener.join()
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.log.close()

    def send(self, kind, content, *, cell=None, thread=None):
        message = self.client.session.msg(kind, content, metadata={"cellId": cell} if cell else {})
        message["header"]["subshell_id"] = thread
        self.client.shell_channel.send(message)
        return message["header"]["msg_id"]

    def reply(self, request, meanwhile):
        """An answer; an interrupt between a cell's end and its answer loses the answer."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            try:
                message = self.client.get_shell_msg(timeout=0.005)
            except queue.Empty:
                if time.monotonic() > self.ended.get(request, end) + 5:
                    return {"status": "lost"}
                meanwhile()
                continue
            if message["parent_header"]["msg_id"] == request:
                return message["content"]
        raise TimeoutError(f"The kernel has not answered within {PATIENCE} seconds.")

    def run(self, cell, meanwhile=lambda: None, *, name=None):
        """Run a cell of a lesson; `meanwhile` is called again and again until it has ended."""
        content = {"code": cell.source, "store_history": True, "stop_on_error": False}
        return self.reply(self.send("execute_request", content, cell=name or cell.id), meanwhile)

    def ask(self, call):
        """What a call of a function in panels_in_kernel.py returns."""
        question = {"answer": f"__import__('json').dumps(__import__('panels_in_kernel').{call})"}
        content = {"code": "", "silent": True, "user_expressions": question}
        answer = self.reply(self.send("execute_request", content), lambda: None)
        answer = answer["user_expressions"]["answer"]
        assert answer["status"] == "ok", "\n".join(answer["traceback"])
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def work(self, widget, message):
        """Work a widget, as a learner does on the page."""
        self.events += 1
        self.send("comm_msg", {"comm_id": widget, "data": message}, thread=self.thread)

    def quiet(self):
        """Wait until all events have been handled."""
        request = self.send("kernel_info_request", {}, thread=self.thread)
        self.reply(request, lambda: None)


class Fire:
    """A lesson that has been run to its end in a kernel, while its panels were moved."""

    def __init__(self, path, events, kernel):
        self.kernel, self.events, self.rng = kernel, events, random.Random(path.stem)
        self.making, self.targets = [], []  # cells that make widgets; what there is to work
        kernel.ask(f"shorten_all_runs({5 + events // 60})")
        cells = nbformat.read(path, as_version=4).cells
        cells = [cell for cell in cells if cell.cell_type == "code"]
        last = max(k for k, cell in enumerate(cells) if "LivePanel(" in cell.source)
        for cell in cells[: last + 2]:  # as far as the first cell after the last panel
            before = len(self.targets)
            self.run(cell, min(20, events // 10))
            if len(self.targets) > before:
                self.making.append(cell)
        for cell in self.making:  # a second panel of each kind
            self.run(cell, 0, name=f"{cell.id}-again")

    def run(self, cell, events, name=None):
        """Run a cell, with so many events while it runs."""
        left = iter(range(events))
        answer = self.kernel.run(
            cell, lambda: next(left, None) is not None and self.event(), name=name
        )
        assert answer["status"] == "ok", f"{cell.source}\n{answer}"
        self.kernel.quiet()
        self.targets = self.kernel.ask("targets()")

    def event(self):
        """Work something on the page, a player seldom: playing an episode takes long."""
        playing = self.rng.random() < 0.02
        found = [target for target in self.targets if (target[2] == "player") == playing]
        if found:
            widget, messages, _ = self.rng.choice(found)
            for _ in range(self.rng.choice([1, 1, 2])):
                self.kernel.work(widget, self.rng.choice([messages[0], messages[-1], *messages]))
        time.sleep(self.rng.choice([0, 0, 0.003, 0.01, 0.03]))

    def storm(self, events):
        self.targets = self.kernel.ask("targets()")
        for _ in range(events):
            self.event()

    def settle(self):
        """Reset each panel, move each control once more: all must end with just these values."""
        self.storm(0)
        for widget, messages, kind in self.targets:
            if kind == "reset":
                self.kernel.work(widget, messages[0])
        last = {w: self.rng.choice(found) for w, found, kind in self.targets if kind == "control"}
        for widget, message in last.items():
            self.kernel.work(widget, message)
        self.kernel.quiet()
        standing = self.kernel.ask(f"standing({PATIENCE})")
        assert standing
        for words, states, faults in standing:
            assert faults == [] and words.startswith(("Finished.", "Stopped: ")), (words, faults)
            for widget, state in states.items():
                for name, value in last[widget]["state"].items():
                    assert state[name] == pytest.approx(value)
        assert self.kernel.ask("unanswered()") == []

    def nothing_more_than(self, before):
        """Fails unless, once the updates under way have ended, no more is alive than before."""

        def no_more(now):  # it may be less: what an interrupted cell had in hand may go later
            fewer = all(now["counts"][kind] <= count for kind, count in before["counts"].items())
            return fewer and now["threads"] == before["threads"]

        self.until(no_more, before)
        assert self.kernel.ask("census()")["megabytes"] < before["megabytes"] + 15

    def until(self, fits, *hints):
        """Wait for a census that fits."""
        end = time.monotonic() + PATIENCE / 10
        while not fits(now := self.kernel.ask("census()")):
            assert time.monotonic() < end, (*hints, now)
        return now

    def rest(self):
        """A census once nothing trains: a panel whose cell was interrupted may, unseen."""
        return self.until(lambda now: "(_work)" not in str(now["threads"]))

    def silent(self):
        """Whether the kernel has complained of nothing but what was expected, since last asked."""
        time.sleep(0.3)  # what is said reaches us later than what is answered
        said = re.split(r"^(?=\[\w+\] )", self.kernel.log.read(), flags=re.MULTILINE)
        start = r"^(?=\[\w+\] |Exception |Traceback )"
        said += re.split(start, self.kernel.stderr, flags=re.MULTILINE)
        said += [text for text in self.kernel.complaints if text not in self.kernel.interrupted]
        self.kernel.complaints, self.kernel.interrupted, self.kernel.stderr = [], [], ""
        assert [text for text in said if text and not any(e in text for e in EXPECTED)] == []
        return True


@pytest.fixture(scope="module", params=CASES)
def fire(request, tmp_path_factory):
    path, events = request.param
    kernel = Kernel(tmp_path_factory.mktemp("kernel") / "log")
    try:
        yield Fire(path, events, kernel)
        print(f"\n{path.stem}: {kernel.events} events")
    finally:
        kernel.close()


def forever(call):
    """A cell that calls something of each panel until it is interrupted."""
    source = f"while True:\n    [{call} for panel in panels_in_kernel.panels()]"
    return nbformat.v4.new_code_cell(f"import panels_in_kernel\n{source}")


WAITING, TRAINING = forever("panel.wait()"), forever("panels_in_kernel.last(panel)")


def test_a_storm_ends_with_the_last_values_trained_to_the_end(fire):
    """The same numbers in lesson and panel, while another panel trains."""
    fire.storm(fire.events)
    fire.kernel.quiet()
    for words, _, faults in fire.kernel.ask(f"standing({PATIENCE})"):
        assert faults == [], words
    fire.settle()
    assert fire.kernel.ask(f"replayed({PATIENCE})") == []
    assert fire.silent()


def test_an_interrupt_ends_the_cell_and_nothing_else(fire):
    interrupt = fire.kernel.manager.interrupt_kernel
    for busy in (WAITING, TRAINING, *fire.making):
        patience = fire.rng.choice([0.02, 0.1, 0.5])
        begun = pressed = time.monotonic()

        def meanwhile():
            nonlocal pressed, patience
            fire.event()
            if time.monotonic() > pressed + patience:
                interrupt()
                pressed, patience = time.monotonic(), 5  # Python ignores it within a finaliser

        answer = fire.kernel.run(busy, meanwhile)
        if pressed > begun and answer["status"] == "error":
            # Not always a KeyboardInterrupt: compiled code may make another error of it.
            fire.kernel.interrupted.append("\n".join(answer["traceback"]))
        interrupt()  # where no cell runs
        time.sleep(0.1)
        fire.storm(10)
    for made in fire.making:  # go on
        fire.run(made, 5)
    fire.settle()
    assert fire.silent()


@pytest.mark.hardening
def test_cells_run_again_and_many_runs_leave_nothing_behind(fire):
    runs = fire.events // 10
    fire.kernel.ask(f"run_often({runs // 5}, 0)")
    before = fire.rest()
    for _ in range(2):  # panels are closed while they train
        for made in fire.making:
            fire.run(made, 3)
    fire.settle()
    fire.nothing_more_than(before)
    fire.kernel.ask(f"run_often({runs}, 1)")
    fire.nothing_more_than(before)
    assert fire.silent()
