"""Actors that act at the same time, each in a process of its own: on this machine, or by Ray.

    with engine.actors(make, 2) as team:
        pending = {actor.call(weights): actor for actor in team}
        done, _ = concurrent.futures.wait(pending, return_when="FIRST_COMPLETED")

Both engines answer with Futures of concurrent.futures, so one loop serves both. Starting, sending,
waiting and Ray's restarts are their work. Used in notebooks/14_distributed_actors.ipynb.
"""

import functools
import os
import random
import signal
import threading
import warnings
from concurrent.futures import BrokenExecutor, Future, wait
from contextlib import contextmanager, suppress

import joblib
import psutil
from joblib.externals import loky
from joblib.externals.loky import process_executor

from helpers.errors import SlipError, check_count

SHARED_MEMORY = 100 * 2**20  # bytes that Ray asks of /dev/shm; where there is less it takes /tmp


class Lost(Exception):
    """The process of an actor died, and the answer to this call with it: call again."""


@contextmanager
def actors(make, count, *, on="processes", limit=120):
    """A list of `count` Actors, each with what make(number, life) returns in its own process.

    make: a function, of a notebook too. What it returns is called there: actor.call(*args).
    on: "processes", or "ray": started on this machine, or joined where the environment variable
        RAY_ADDRESS says (host:port; that cluster's machines have the course installed).
    limit: seconds in which all must have started. With the block they end, in mid-call too.
    Raises SlipError for an engine or actors that do not start; what make raises goes through.
    """
    with _engine(on, count, limit) as ray:
        team = [_RayActor(make, n, ray) if ray else Actor(make, n) for n in range(count)]
        try:
            done, waiting = wait([a.send(None) for a in team], limit, "FIRST_EXCEPTION")
            for start in done:
                start.result()
            if waiting:
                raise SlipError(f"{len(waiting)} of {count} actors had not started in {limit} s.")
            yield team
        finally:
            for actor in team:
                actor.close()


@contextmanager
def pool(count, *, on="processes", limit=120):
    """A function submit(function, *args) that returns a Future; `count` of them run at a time.

    on, limit: as for actors; the cores of a cluster that was joined say how many. Ray tries a task
    that failed twice more; processes do not.
    """
    with _engine(on, count, limit) as ray:
        if ray:
            remote = functools.cache(ray.remote(max_retries=2, retry_exceptions=True))
            yield lambda function, *args: remote(function).remote(*args).future()
            return
        executor = _processes(count)
        try:
            yield executor.submit
        finally:
            _end(executor)


class Actor:
    """What make(number, life) returned, in a process of this machine, as seen from outside it.

    life: 0, and more each time that the process died: the next call makes the actor anew. So
    (number, life, a counter of its own) names each piece of its work, and number and life its seed.
    """

    _death = BrokenExecutor
    _executor = None

    def __init__(self, make, number):
        self.number, self.life = number, 0
        self._make, self._born = make, False

    def call(self, *args):
        """A Future of actor(*args), which raises Lost if the process died; one call at a time."""
        return self.send(args)

    def send(self, args):
        """The same; with None the actor is made, but not called."""
        birth = None if self._born else (self._make, self.number, self.life)
        self._born, answer = True, Future()
        try:
            inner = self._submit(birth, args)
            inner.add_done_callback(functools.partial(self._pass_on, answer))
        except self._death:  # had come before
            self._lose(answer)
        return answer

    def _pass_on(self, answer, inner):
        try:
            answer.set_result(inner.result())
        except (self._death, Lost):
            self._lose(answer)
        except BaseException as error:  # an actor may call sys.exit()
            answer.set_exception(getattr(error, "cause", error))  # what Ray wraps

    def _lose(self, answer):
        self.life, self._born = self.life + 1, False
        answer.set_exception(
            Lost(f"Actor {self.number} died, and the answer to this call with it.")
        )

    def _submit(self, birth, args):
        if birth:
            self.close()
            self._executor = _processes(1)
        return self._executor.submit(_live, birth, args)

    def close(self):
        if self._executor:
            _end(self._executor)


class _RayActor(Actor):
    """In a process of Ray's, which starts another when it dies.

    Without max_task_retries, which would repeat the call, with weights as old as the process.
    """

    def __init__(self, make, number, ray):
        super().__init__(make, number)
        self._death, self._kill = ray.exceptions.RayActorError, ray.kill
        self._life = ray.remote(num_cpus=1, max_restarts=-1)(_Life).remote()

    def _submit(self, birth, args):
        return self._life.run.remote(birth, args).future()

    def close(self):
        self._kill(self._life)


class _Life:
    """One life of an actor, in its process."""

    actor = None

    def run(self, birth, args):
        """birth: (make, number, life) to begin with, else None; args: of the actor's call, or None."""
        if birth:
            make, number, life = birth
            self.actor = make(number, life)
        elif not self.actor:
            raise Lost  # it died between two calls, and the engine had a new one
        return None if args is None else self.actor(*args)


_life = _Life()


def _live(birth, args):
    return _life.run(birth, args)


def _processes(count):
    """loky's, which knows a notebook's functions; started, and only they hold their ends of the pipes.

    So a process that dies in the middle of an answer breaks the pipe. With loky's own copy of that
    end open, the reader would wait for the other half for ever.
    """
    executor = loky.ProcessPoolExecutor(count, initializer=_stay_with, initargs=(os.getpid(),))
    executor._ensure_executor_running()
    executor._result_queue._writer.close()
    executor._call_queue._reader.close()
    executor._call_queue._ignore_epipe = True  # the future of the call says it
    return executor


def _end(executor):
    """In the middle of its work; loky's own way (kill_workers) may leave an error of its thread."""
    for process in list((executor._processes or {}).values()):
        process.terminate()
    executor.shutdown()


def _stay_with(starter):
    """An interrupt is for the starter, who then ends this process; so does the starter's own end."""

    def watch():
        with suppress(psutil.NoSuchProcess):
            psutil.Process(starter).wait()
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_executor._USE_PSUTIL = False  # or one that grows by 300 MB goes, and its actor with it
    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _engine(on, count, limit):
    """The module ray, started or joined until the end of the block; or None."""
    check_count("count", count)
    if on not in ("processes", "ray"):
        raise SlipError(f'on must be "processes" or "ray", but is {on!r}.')
    address, cores = on == "ray" and os.environ.get("RAY_ADDRESS"), joblib.cpu_count()
    if count > cores and not address:
        warnings.warn(f"{count} processes have to take turns on {cores} cores.", stacklevel=5)
    if on == "processes":
        yield None
        return
    try:
        import ray
    except ImportError:
        how = '`pip install -e ".[cluster]"` installs it, and on="processes" does without'
        raise SlipError(f"Ray is not installed: {how}.") from None
    began_here = not ray.is_initialized()
    try:
        if began_here:
            _begin(ray, address, limit, num_cpus=max(count, cores))
        yield ray
    finally:
        if began_here:
            with _global_generator_kept():
                ray.shutdown()


@contextmanager
def _global_generator_kept():
    """Ray draws from Python's global generator: afterwards that draws on as if nobody had."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@_global_generator_kept()
def _begin(ray, address, limit, num_cpus):
    ray._private.worker._worker_logs_enabled = False  # each death would be printed, with addresses
    options = {"address": "local", "num_cpus": num_cpus, "object_store_memory": SHARED_MEMORY}
    if address:
        options = {"address": address}
        _knock(address, limit)
    itself = psutil.Process()
    before = itself.children(recursive=True)
    try:
        ray.init(**options, log_to_driver=False, logging_level="ERROR")
    except BaseException as error:
        started = {*itself.children(recursive=True)}.difference(before)
        ray.shutdown()
        for process in started:  # some would outlive those that started them
            with suppress(psutil.Error):
                process.kill()
        if not isinstance(error, Exception):
            raise
        raise SlipError(f'Ray did not start ({error}); on="processes" does without.') from None


def _knock(address, limit):
    """In another process, since Ray itself would try for minutes."""
    knocker = _processes(1)
    try:
        knocker.submit(_ask, address).result(limit)
    except Exception:
        raise SlipError(
            f"No Ray answered at RAY_ADDRESS, {address}, in {limit} s: it is the host:port of a "
            "running `ray start --head`. Without it Ray starts on this machine."
        ) from None
    finally:
        _end(knocker)


def _ask(address):
    from ray._raylet import GcsClient

    GcsClient(address=address)
