"""A panel in front ends such as VS Code, whose widget messages go to the thread that runs cells: they
wait while a cell runs. Tried with an ipykernel that offers a thread of their own to those that ask
for one, and with one that has none to offer, as before version 7.
"""

import ast
import os
import sys

import pytest
from jupyter_client import KernelManager

PATIENCE = 120  # seconds; for what takes a few, since test machines are slow and shared
OLD = """
from ipykernel.kernelapp import IPKernelApp
class Old(IPKernelApp):
    def init_kernel(self):
        self.shell_channel_thread = None
        super().init_kernel()
Old.launch_instance()
"""
COMMANDS = {"offered": ["-m", "ipykernel_launcher"], "none": ["-c", OLD]}
# A run ends only while the gate is open, so that on no machine one ends in the middle of a drag.
PANEL = """
import pathlib, threading, time
from helpers import live
gate, finished = threading.Event(), []
gate.set()
def train(pull):
    while not gate.wait(0.002):
        yield live.Item([pull], fraction=0.5)
    finished.append(pull)
    yield live.Item([pull])
picture = live.Picture(live.Bars(names=["pull"], xlim=(0, 40), xlabel="pull"))
live.LivePanel(train, picture, pull=live.slider("pull", 0, 0, 40, 1))
"""
BUSY = "while not pathlib.Path({!r}).exists(): time.sleep(0.01)\nmeanwhile = _.values['pull']"
SETTLED = f"(gate.set(), _.wait({PATIENCE}), finished, [t.name for t in threading.enumerate()])"


@pytest.fixture(params=COMMANDS)
def client(request, tmp_path):
    """Of a kernel in which a cell has made the panel, whose first run ended though nobody asked."""
    manager = KernelManager()
    options = [*COMMANDS[request.param], "-f", "{connection_file}"]
    manager.kernel_spec.argv = [sys.executable, *options, "--log-level=40"]
    env = {name: value for name, value in os.environ.items() if name != "COURSE_FOREGROUND"}
    manager.start_kernel(cwd=tmp_path, env=env)
    client = manager.blocking_client()
    client.start_channels()
    try:
        client.wait_for_ready(PATIENCE)
        client.execute(PANEL)
        while "Finished." not in str(said := client.get_iopub_msg(timeout=PATIENCE)["content"]):
            assert "traceback" not in said, said
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def value(client, expression):
    """What an expression is, after all that was sent before."""
    asked = client.execute("", user_expressions={"it": expression}, store_history=False)
    while (reply := client.get_shell_msg(timeout=PATIENCE))["parent_header"]["msg_id"] != asked:
        assert reply["content"].get("status") != "error", reply["content"]
    answer = reply["content"]["user_expressions"]["it"]
    assert answer["status"] == "ok", answer
    return ast.literal_eval(answer["data"]["text/plain"])


def drag(client, bar, places):
    for place in places:
        data = {"method": "update", "state": {"value": place}, "buffer_paths": []}
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": bar, "data": data}))


def has_finished(client, *runs):
    """Whether these runs alone have been trained to the end, and no thread is left."""
    _, words, finished, threads = value(client, SETTLED)
    return words == "Finished." and finished == [*runs] and "(_work)" not in str(threads)


def test_a_drag_ends_in_one_run_with_the_last_value(client, tmp_path):
    assert has_finished(client, 0)
    bar = value(client, "gate.clear() or _._controls['pull'].children[0].model_id")
    drag(client, bar, range(1, 31))
    assert has_finished(client, 0, 30)
    value(client, "gate.clear()")
    client.execute(BUSY.format(str(tmp_path / "go on")))
    drag(client, bar, range(30, 4, -1))
    (tmp_path / "go on").touch()
    assert value(client, "meanwhile") == 30  # the messages had to wait
    assert has_finished(client, 0, 30, 5)
