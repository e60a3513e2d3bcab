"""Run a learner's function where it can do no harm, and say in words what it raised."""

import ctypes
import functools
import gc
import inspect
import linecache
import sys
import threading
import time
import traceback

from helpers.checks.words import plain

PAST_THE_END = (
    "No entry has this index: of n entries they are 0 to n - 1, or -n to -1 from the end."
)
AFTER_THE_LAST = " If it is t + 1, no step follows the last one: count 0."
IN_PLACE = "Make a new tensor where you now change one in place."
NOT_FOUND = "The search came to its end and found nothing: it overlooks a case."
# What Python and torch say, and what a learner can do about it.
HINTS = {
    "does not require grad": "Autograd only follows tensors made with requires_grad=True, not their "
    "copies by torch.tensor(), and a function that returns a loss leaves backward() to whoever "
    "trains with it.",
    "out of bounds": PAST_THE_END,
    "index out of range": PAST_THE_END,
    "math range error": "e to this power is too large a number: let the largest exponent be 0.",
    "is ambiguous": "`if`, `not`, `and` and `or` need one truth value, and a tensor has many: "
    "calculate with it as a mask, or use ~, & and |.",
    "has no attribute 'backward'": "Only a tensor has: make one, with requires_grad=True, of what "
    "you differentiate by.",
    "must match the size of tensor": "Shapes are compared from the last axis on: x[..., None] adds "
    "one there. Where two lengths differ by 1, look at your slices.",
    "backward through the graph a second time": "Build the graph anew before each backward().",
    "torch.return_types": "max() and min() along an axis give values and where they are: take .values, "
    "or use amax() and amin().",
    "to be a boolean tensor": "Flags of 0 and 1 become a condition by == 1.",
    "StopIteration": NOT_FOUND,
    "not in list": NOT_FOUND,
    "in-place operation": IN_PLACE,
    "inplace operation": IN_PLACE,
    "call numpy() on Tensor that requires grad": "Stay within torch: gradients flow only there.",
}


# Files whose time is not the learner's: a debugger waits; a module that is imported for the first
# time (torch.func.grad brings 3 s of them) would stay half done if it were ended.
NOT_COUNTED = ("/bdb.py", "\\bdb.py", "pydevd.py", "<frozen importlib._bootstrap>")
LOOKING = threading.Lock()  # two checks at once would leave the collector switched off


class Stop(BaseException):
    """Raised inside the learner's function when its time is up."""


class Run(threading.Thread):
    """Work in a thread of its own, which can be ended from outside while it runs Python code.

    Signals and alarms would need the main thread and do not exist on Windows; a process of its own
    could not see functions that live in a notebook. `result` stays None if the work did not end.
    """

    def __init__(self, work):
        super().__init__(name="exercise check", daemon=True)
        self.work = work
        self.result = None
        self.ended = threading.Event()  # an interrupted join() takes a running thread for dead
        self.ending = threading.Lock()  # no Stop may be sent once the work has ended
        self.insisting = type("Stop", (Stop,), {})

    def run(self):
        try:
            try:
                self.result = self.work()
            finally:
                self._end()
        except BaseException:  # a Stop, perhaps one that came late; the result says the rest
            self._end()

    def _end(self):
        with self.ending:
            self.ended.set()
            self.insisting.__del__ = lambda stop: None

    def wait(self, seconds):
        """Wait until the work has ended, or so many seconds have passed that count."""
        deadline = time.monotonic() + seconds
        # The waits are short, since on Windows they cannot be interrupted.
        while not self.ended.wait(0.05) and time.monotonic() < deadline:
            if not self._counts():
                deadline = time.monotonic() + seconds

    def _counts(self):
        """Whether the thread is neither at pdb's prompt or JupyterLab's breakpoint nor importing.

        Python 3.11 may collect garbage as it makes a frame's object; if that lets the thread go on,
        the frame is gone when it is written to, and the process dies. So nothing is collected here.
        """
        with LOOKING:
            collected = gc.isenabled()
            try:
                gc.disable()
                frame = sys._current_frames().get(self.ident)
                while frame and not frame.f_code.co_filename.endswith(NOT_COUNTED):
                    frame = frame.f_back
                return frame is None
            finally:
                if collected:
                    gc.enable()

    def stop(self):
        """Raise Stop in the thread, for up to a second, as the learner's code may catch it."""
        deadline = time.monotonic() + 1.0
        while self.ident and not self.ended.is_set() and time.monotonic() < deadline:
            with self.ending:
                if not self.ended.is_set():
                    self._insist()
            self.ended.wait(0.01)

    def _insist(self):
        """Raise a Stop that, once caught and dropped, raises another one behind the handler.

        `while True: try: ... except: pass` catches all that arrives in its body; what arrives as
        the handler ends, it does not (on Python 3.12 it does: there such a loop may run on).
        __del__ has to be the C function itself: within a Python function the second Stop would be
        raised at once, and lost.
        """
        send = functools.partial(
            ctypes.pythonapi.PyThreadState_SetAsyncExc, ctypes.c_ulong(self.ident)
        )
        self.insisting.__del__ = staticmethod(functools.partial(send, ctypes.py_object(Stop)))
        send(ctypes.py_object(self.insisting))


def is_stub(error, fn):
    """Whether fn itself raised a bare NotImplementedError; torch raises some of its own."""
    frames = _frames(error)
    bare = type(error) is NotImplementedError and not error.args
    return bare and bool(frames) and frames[-1][0].f_code is _code(fn)


def mentions(fn, name):
    """Whether fn's own code has this global or attribute."""
    return name in getattr(_code(fn), "co_names", ())


def describe(error, fn, names):
    """What the call of fn with arguments of these names raised: type, text, the learner's line."""
    text, frames = plain(str(error), 160), _frames(error)
    if not frames and isinstance(error, TypeError):
        given = f"{len(names)} argument{'s' * (len(names) > 1)} ({', '.join(names)})"
        return f"your function is called with {given}, but Python says: {text}."
    said = f"your function raised {type(error).__name__}" + (f' ("{text}")' if text else "")
    advice, shifted = hint(said), any(name.startswith("next_") for name in names)
    if advice == PAST_THE_END and {"rewards", "gamma"} <= set(names) and not shifted:
        advice += AFTER_THE_LAST  # an exercise over time
    return f"{said}{_where(frames, fn)}. {advice}".strip()


def hint(said):
    """What a learner can do about what Python or torch said, or nothing."""
    return next((advice for part, advice in HINTS.items() if part in said), "")


def _where(frames, fn):
    file = getattr(_code(fn), "co_filename", None)
    lines = [line for frame, line in frames if frame.f_code.co_filename == file]
    if not lines:
        return ""
    source = plain(linecache.getline(file, lines[-1]), 70)
    return f" at line {lines[-1]}" + (f": {source}" if source else "")


def _frames(error):
    """(frame, line) from the learner's function inwards."""
    return list(traceback.walk_tb(error.__traceback__.tb_next))  # the first is the check's own call


def _code(fn):
    fn = inspect.unwrap(fn)
    return getattr(fn, "__code__", None) or getattr(type(fn).__call__, "__code__", None)
