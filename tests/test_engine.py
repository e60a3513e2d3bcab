"""helpers.engine: the same under processes and under Ray, and nothing is left behind by either."""

import concurrent.futures as futures
import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from pathlib import Path

import psutil
import pytest
from conftest import lacking

from helpers import engine
from helpers.errors import SlipError

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120  # seconds, far more than anything here takes
HAS_RAY = importlib.util.find_spec("ray") is not None
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals and process groups of POSIX")


@pytest.fixture(scope="module")
def a_ray():
    """One Ray for all tests that need no beginning and no end: it takes ten seconds to start."""
    need_ray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests"))  # where its processes find this file
        patch.delenv("RAY_ADDRESS", raising=False)
        with engine.pool(4, on="ray"):
            yield


@pytest.fixture
def on(request):
    if request.param == "ray":
        request.getfixturevalue("a_ray")
    return request.param


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(engine.joblib, "cpu_count", lambda: 4)  # no warning on small machines


def need_ray():
    if not HAS_RAY:
        lacking('Ray is not installed: pip install -e ".[cluster]"')


RAY = pytest.param("ray", marks=pytest.mark.hardening)  # starts for ten seconds or more
each_engine = pytest.mark.parametrize("on", ["processes", RAY], indirect=True)


def left(before=()):
    """This process's descendants but the two that keep track of semaphores until it ends.

    A Ray that is still running keeps idle processes of its own: those of actors have their name.
    """
    children = psutil.Process().children(recursive=True)
    found = {child.pid: child for child in children if child.pid not in before}
    named = {}
    for pid, child in found.items():
        with contextlib.suppress(psutil.Error):
            named[pid] = " ".join(child.cmdline())
    others = "resource_tracker", "ray::IDLE"
    return {pid: line for pid, line in named.items() if line and not any(o in line for o in others)}


def running(processes):
    """Those that have not ended. A zombie has, though in some containers nobody ever asks it how."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def assert_none_soon(find, limit=20):
    """``find`` finds nothing, or nothing soon: a kill is sent, not waited for."""
    deadline = time.monotonic() + limit
    while find() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not find()


def assert_gone(before):
    """Nothing is left of what was started since."""
    assert_none_soon(lambda: left(before))


def counter(number, life):
    """An actor that says who it is, how often it was called, and where it lives."""
    calls = 0

    def actor(seconds=0.0, slip=""):
        nonlocal calls
        calls += 1
        time.sleep(seconds)
        if slip:
            raise KeyError(slip)
        return number, life, calls, os.getpid()

    return actor


def answer(future):
    return future.result(timeout=PATIENCE)


def next_answer(actor):
    """As a lesson does it: what is lost is asked for again."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with contextlib.suppress(engine.Lost):
            return answer(actor.call())
    raise AssertionError("the actor did not come back")


@each_engine
def test_actors_keep_their_state_in_processes_of_their_own(on):
    before = left()
    with engine.actors(counter, 2, on=on) as team:
        first = [answer(actor.call()) for actor in team]
        again = [answer(actor.call()) for actor in team]
        pids = [pid for *_, pid in first]
        assert [said[:3] for said in first] == [(0, 0, 1), (1, 0, 1)]
        assert again == [(0, 0, 2, pids[0]), (1, 0, 2, pids[1])]
        assert len({*pids, os.getpid()}) == 3
    assert_gone(before)


@each_engine
def test_actors_act_at_the_same_time_and_the_first_to_finish_is_told_first(on):
    with engine.actors(counter, 2, on=on) as team:
        pending = {team[0].call(3.0): 0, team[1].call(0.0): 1}
        done, _ = futures.wait(pending, PATIENCE, return_when="FIRST_COMPLETED")
        assert [pending[future] for future in done] == [1]


@each_engine
def test_what_a_notebook_defines_can_act_and_be_returned(on):
    """Functions and classes of __main__ go by value, as of a notebook's cells."""
    cell = {"__name__": "__main__"}
    exec(
        "class Told(tuple):\n    pass\n\n\ndef make(n, life):\n    return lambda x: Told([n, x])",
        cell,
    )
    with engine.actors(cell["make"], 1, on=on) as (actor,):
        told = answer(actor.call("x"))
        assert tuple(told) == (0, "x") and type(told).__name__ == "Told"


@each_engine
def test_an_actor_raises_its_own_error_and_the_others_end(on):
    before = left()
    with pytest.raises(KeyError, match="no such key"):
        with engine.actors(counter, 2, on=on) as team:
            team[1].call(600.0)
            answer(team[0].call(0.0, "no such key"))
    assert_gone(before)


def test_an_actor_that_calls_exit_is_an_answer_too():
    """Under Ray its process ends, as that of any actor that dies."""

    def leaving(number, life):
        return lambda: sys.exit("enough")

    with pytest.raises(SystemExit, match="enough"), engine.actors(leaving, 1) as team:
        answer(team[0].call())


@each_engine
def test_an_actor_that_cannot_be_made_says_why(on):
    def make(number, life):
        if number:
            raise SlipError("There is no such environment.")
        return counter(number, life)

    before = left()
    with pytest.raises(SlipError, match="no such environment"):
        with engine.actors(make, 2, on=on):
            pass
    assert_gone(before)


@posix_only
@each_engine
def test_a_killed_actor_comes_back_in_its_next_life_and_nothing_counts_twice(on, capfd):
    with engine.actors(counter, 2, on=on) as team:
        told = [answer(team[0].call()), answer(team[1].call())]
        lost = team[0].call(600.0)
        os.kill(told[0][-1], signal.SIGKILL)
        with pytest.raises(engine.Lost, match="Actor 0 died"):
            answer(lost)
        told += [next_answer(team[0]), answer(team[1].call()), answer(team[0].call())]
    names = [said[:3] for said in told]
    assert len(set(names)) == len(names)
    assert names[:2] == [(0, 0, 1), (1, 0, 1)] and names[3] == (1, 0, 2)
    assert names[2][1] > 0 and names[2][2] == 1 and names[4] == (*names[2][:2], 2)
    assert told[2][-1] != told[0][-1]
    assert capfd.readouterr().out == ""  # Ray would print addresses


@posix_only
@each_engine
def test_a_death_between_two_calls_costs_no_more_than_a_call(on):
    with engine.actors(counter, 1, on=on) as (actor,):
        said = answer(actor.call())
        os.kill(said[-1], signal.SIGKILL)
        time.sleep(3)  # Ray has noticed, and started another process
        assert next_answer(actor)[1:3] == (actor.life, 1) and actor.life > 0


def writes_much(number, life):
    return lambda size=30_000_000: bytes(size)


def in_the_midst(actor, part):
    """A call of whose time a part has passed."""
    for _ in range(2):  # the first starts the process
        start = time.monotonic()
        answer(actor.call())
    future = actor.call()
    time.sleep(part * (time.monotonic() - start))
    return future


OTHER_PARTS = [pytest.param(part, marks=pytest.mark.hardening) for part in (0.2, 0.6, 0.8)]
each_part = pytest.mark.parametrize("part", [0.4, *OTHER_PARTS])


def ends(run):
    """Whether run(), in a thread, comes to its end."""
    ended = threading.Event()
    threading.Thread(target=lambda: (run(), ended.set()), daemon=True).start()
    return ended.wait(PATIENCE)


@each_part
def test_an_actor_that_is_writing_its_answer_ends_as_well(part):
    """Half an answer of 30 MB: its reader would wait for the other half."""

    def run():
        with engine.actors(writes_much, 1) as (actor,):
            in_the_midst(actor, part)

    assert ends(run)


@posix_only
@each_part
def test_an_actor_killed_while_it_writes_its_answer_is_lost_and_comes_back(part):
    told = []

    def run():
        with engine.actors(writes_much, 1) as (actor,):
            future = in_the_midst(actor, part)
            (pid,) = left(before)
            os.kill(pid, signal.SIGKILL)
            with contextlib.suppress(engine.Lost):  # unless it had been quicker
                answer(future)
            while not told:
                with contextlib.suppress(engine.Lost):
                    told.append(len(answer(actor.call(10))))

    before = left()
    assert ends(run) and told == [10]


@pytest.mark.hardening
def test_an_actor_may_grow():
    """By 400 MB: loky would end the process, and start another in its place, without the actor."""

    def make(number, life):
        kept = []
        return lambda: kept.append(bytearray(os.urandom(1) * 100_000_000)) or (life, len(kept))

    with engine.actors(make, 1) as (actor,):
        said = []
        for _ in range(4):
            said.append(answer(actor.call()))
            time.sleep(1.1)  # loky looks once a second
        assert said == [(0, 1), (0, 2), (0, 3), (0, 4)]


def square(x):
    return x * x


def fails_twice(folder):
    """Raises in the first two attempts, of which it keeps count in a folder."""
    attempt = len(list(folder.iterdir()))
    (folder / str(attempt)).touch()
    if attempt < 2:
        raise OSError("not yet")
    return attempt


@each_engine
def test_tasks_are_dealt_out_and_told_as_they_finish(on):
    before = left()
    with engine.pool(2, on=on) as submit:
        cells = {submit(square, x): x for x in range(8)}
        found = {cells[f]: f.result() for f in futures.as_completed(cells, PATIENCE)}
    assert found == {x: x * x for x in range(8)}
    assert_gone(before)


def test_a_failed_task_of_processes_says_so(tmp_path):
    with engine.pool(1) as submit:
        with pytest.raises(OSError, match="not yet"):
            answer(submit(fails_twice, tmp_path))
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.hardening
def test_ray_tries_a_failed_task_again(tmp_path):
    need_ray()
    with engine.pool(1, on="ray") as submit:
        assert answer(submit(fails_twice, tmp_path)) == 2


# --- bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, -1, 1.5, True, "2"])
def test_a_count_that_is_none_gets_a_sentence(count):
    with pytest.raises(SlipError, match="at least 1"), engine.actors(counter, count):
        pass


def test_an_engine_that_is_none_gets_a_sentence():
    with (
        pytest.raises(SlipError, match='"processes" or "ray"'),
        engine.actors(counter, 1, on="mpi"),
    ):
        pass


def test_without_ray_the_command_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)  # import ray raises
    with pytest.raises(SlipError, match=r'pip install -e "\.\[cluster\]"'):
        with engine.actors(counter, 1, on="ray"):
            pass


@pytest.mark.hardening
def test_more_actors_than_cores_take_turns_and_are_told(monkeypatch):
    monkeypatch.setattr(engine.joblib, "cpu_count", lambda: 1)
    with pytest.warns(UserWarning, match="2 processes have to take turns on 1 core"):
        with engine.actors(counter, 2) as team:
            assert [answer(actor.call())[0] for actor in team] == [0, 1]


def test_the_warning_names_the_lessons_own_line(monkeypatch):
    monkeypatch.setattr(engine.joblib, "cpu_count", lambda: 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with engine.pool(2):
            pass
    assert [Path(warning.filename).name for warning in caught] == [Path(__file__).name]


def test_actors_that_do_not_start_in_time_get_a_sentence():
    before = left()
    with pytest.raises(SlipError, match=r"1 of 1 actors had not started in 0\.5 s"):
        with engine.actors(lambda number, life: time.sleep(600), 1, limit=0.5):
            pass
    assert_gone(before)


# --- Ray: started, joined, interrupted -----------------------------------------------------------


def ports():
    """The ports at which this process's descendants listen."""
    found = set()
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            found |= {c.laddr.port for c in child.net_connections() if c.status == "LISTEN"}
    return found


@pytest.fixture
def no_ray(monkeypatch):
    """Ray is there, but has not been started."""
    need_ray()
    import ray

    ray.shutdown()  # that of the tests above, whose own end then finds nothing to do
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    yield ray
    ray.shutdown()


@pytest.mark.hardening
def test_ray_starts_quietly_with_little_shared_memory_and_leaves_nothing(
    no_ray, capfd, unchanged_globals
):
    before = left()
    with unchanged_globals(), engine.actors(counter, 2, on="ray") as team:
        assert [answer(actor.call())[0] for actor in team] == [0, 1]
        memory = no_ray.cluster_resources()["object_store_memory"]
        opened = ports()
    assert memory <= engine.SHARED_MEMORY  # /dev/shm of a container has 64 MB: then it takes /tmp
    assert opened and not no_ray.is_initialized()
    assert_gone(before)
    assert not any(is_open(port) for port in opened)
    told = capfd.readouterr()
    assert told.out == "" and "127.0.0.1" not in told.err


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def deaf():
    """The address of a port that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.hardening
@pytest.mark.parametrize("where", ["nobody", "somebody else", "not an address"])
def test_an_address_where_no_ray_answers_gets_a_sentence(no_ray, monkeypatch, deaf, where):
    address = {"nobody": "127.0.0.1:9", "somebody else": deaf}.get(where, "the cluster")
    monkeypatch.setenv("RAY_ADDRESS", address)
    start = time.monotonic()
    with pytest.raises(SlipError, match="No Ray answered at RAY_ADDRESS"):
        with engine.actors(counter, 1, on="ray", limit=8):
            pass
    assert time.monotonic() - start < 30


@pytest.mark.hardening
def test_a_cluster_of_two_nodes_is_joined_and_left_running(no_ray, monkeypatch):
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 1, "object_store_memory": engine.SHARED_MEMORY}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        monkeypatch.setenv("RAY_ADDRESS", cluster.address)
        with engine.actors(where, 2, on="ray") as team:  # one core each: so one on each node
            assert len({answer(actor.call()) for actor in team}) == 2
        assert not no_ray.is_initialized()
        with pytest.raises(SlipError, match="of 3 actors had not started in 15 s"):
            with engine.actors(counter, 3, on="ray", limit=15):
                pass
        with engine.pool(1, on="ray") as submit:  # it was left running
            assert answer(submit(square, 3)) == 9
    finally:
        cluster.shutdown()


def where(number, life):
    import ray

    return lambda: ray.get_runtime_context().get_node_id()


DRIVER = """
    import sys, time
    from helpers import engine

    def make(number, life):
        return lambda: time.sleep(600)

    if __name__ == "__main__":
        print("start", flush=True)
        with engine.actors(make, 2, on=sys.argv[1]) as team:
            pending = [actor.call() for actor in team]
            print("calling", flush=True)
            pending[0].result()
"""


@pytest.fixture
def driver(tmp_path):
    """A function that starts the program above in a group of its own, and what it started."""
    script = tmp_path / "driver.py"
    script.write_text(textwrap.dedent(DRIVER))

    @contextlib.contextmanager
    def started(on, until):
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        command = [sys.executable, str(script), on]
        options = {"stdout": subprocess.PIPE, "text": True, "env": environment, "process_group": 0}
        with subprocess.Popen(command, stderr=subprocess.STDOUT, **options) as process:
            for line in process.stdout:
                if line.strip() == until:
                    break
            yield process, psutil.Process(process.pid)

    return started


INTERRUPT, KILL = signal.SIGINT, getattr(signal, "SIGKILL", signal.SIGTERM)
STAGES = [
    ("processes", "calling", 0.5, INTERRUPT),
    ("processes", "calling", 0.5, KILL),
    ("processes", "start", 1.0, INTERRUPT),
    ("processes", "start", 1.0, KILL),
    *(
        pytest.param(
            "ray", *stage, INTERRUPT, marks=pytest.mark.hardening
        )  # a kill is Ray's matter
        for stage in (("calling", 0.5), ("start", 0.5), ("start", 3.0))
    ),
]


@posix_only
@pytest.mark.parametrize("on, until, seconds, how", STAGES)
def test_an_interrupted_program_leaves_no_process(driver, on, until, seconds, how):
    """Sent to the whole group as Jupyter and a terminal do; a kill to the starter alone."""
    if on == "ray":
        need_ray()
    with driver(on, until) as (process, itself):
        while process.poll() is None and not itself.children():
            time.sleep(0.1)
        time.sleep(seconds)
        started = itself.children(recursive=True)
        assert started
        for _ in range(4):  # Python drops an interrupt that comes while it forks
            (os.kill if how == KILL else os.killpg)(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
                break
        try:
            assert process.poll() is not None
            assert_none_soon(lambda: running(started), limit=60)
        finally:
            for child in [*running(started), process]:
                child.kill()
