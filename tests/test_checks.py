"""Every exercise's check: stub, solutions, wrong attempts, and whatever else it may be handed.

How an attempt is run, compared and told is one class's work: it is tested on two checks made up
here. On every check that helpers.checks exports runs what depends on that check: its solution, its
mistakes, its inputs. What is particular to a lesson stands in attempts_lesson_NN.py beside this
file, as two dictionaries by exercise name:

    RIGHT = {"expectation": [attempt, ...]}           correct, usual and unusual
    WRONG = {"expectation": [(attempt, words), ...]}  what `mistakes` does not hold already, and words
                                                      that the message must contain
"""

import _thread
import contextlib
import importlib
import io
import itertools
import math
import pdb
import subprocess
import sys
import threading
import time
from numbers import Real
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
import two_arms_checks
from IPython.core.formatters import DisplayFormatter

from helpers import checks
from helpers.checks import core, words

KNOWN = {**vars(checks), **vars(two_arms_checks)}
CHECKS = {name: c for name, c in KNOWN.items() if isinstance(c, core.Check)}
LESSONS = [
    importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.rglob("attempts_*.py"))
]
RIGHT = {name: attempts for lesson in LESSONS for name, attempts in lesson.RIGHT.items()}
WRONG = {name: attempts for lesson in LESSONS for name, attempts in lesson.WRONG.items()}

COIN = np.random.default_rng()
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)

# The two that the class is tested on: of an answer, and of a loss whose gradient counts.
scaled = core.Check(
    "9.1",
    solution=lambda values, scale: scale * values,
    example={"values": torch.tensor([1.0, 3.0]), "scale": 2.0},
    edges=[{"values": torch.ones(7), "scale": 0.0}],
    draw=lambda rng: {
        "values": core.numbers(rng, rng.integers(1, 6)),
        "scale": round(rng.uniform(1.5, 4), 1),
    },
    mistakes=[
        (lambda values, scale: values[5] * scale, "One value was taken for all."),
        (lambda values, scale: values**2, "That is the square."),
        (lambda values, scale: values, "The scale is never used."),
    ],
)
loss = core.Check(
    "9.2",
    solution=lambda log_probs, returns, valid: -(log_probs * returns * valid).mean(),
    example={
        "log_probs": torch.tensor([-1.0, -2.0]),
        "returns": torch.tensor([3.0, 4.0]),
        "valid": torch.tensor([True, True]),
    },
    draw=lambda rng: {
        "log_probs": (log_probs := core.numbers(rng, rng.integers(2, 6), low=-3, high=0)),
        "returns": core.numbers(rng, len(log_probs)),
        "valid": torch.arange(len(log_probs)) > 0,
    },
    mistakes=[(lambda log_probs, returns, valid: (log_probs * returns).mean(), "Turn its sign.")],
    slopes=["log_probs"],
)
both = pytest.mark.parametrize("check", [scaled, loss], ids=["answer", "loss"])


def of_each(attempts):
    """One parameter set for each attempt of each exercise."""
    return [
        pytest.param(CHECKS[name], attempt, id=f"{name}-{i}")
        for name, several in attempts.items()
        for i, attempt in enumerate(several)
    ]


def run(check, attempt):
    """The check's result, after looking at what holds for every result."""
    result = check(attempt)
    assert result.status in {"awaiting", "passed", "failed"}
    assert result.message.startswith(f"Exercise {check.number} ")
    assert len(result.message) < 600 and result.message.endswith(".")
    assert result.message.isprintable(), "one line, without control characters"
    return result


def passed(check, attempt):
    result = run(check, attempt)
    return result.status == "passed" or str(result)


def failed(check, attempt):
    result = run(check, attempt)
    assert result.status == "failed", result
    return result.message


def workers():
    return [t for t in threading.enumerate() if t.name == "exercise check"]


def wait_for_no_worker():
    deadline = time.monotonic() + 2
    while workers() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not workers()


# --- every check ---------------------------------------------------------------------------------


def test_every_check_has_attempts():
    assert set(RIGHT) == set(WRONG) == set(CHECKS)
    assert all(RIGHT.values()) and all(WRONG.values())


@every_check
def test_its_own_solution_passes_every_time(check):
    for _ in range(5):
        assert passed(check, check.solution) is True


@pytest.mark.parametrize(("check", "attempt"), of_each(RIGHT))
def test_right(check, attempt):
    assert passed(check, attempt) is True


@pytest.mark.parametrize(("check", "attempt"), of_each(WRONG))
def test_wrong(check, attempt):
    attempt, said = attempt
    assert said in failed(check, attempt)


@every_check
def test_each_classic_mistake_is_named_on_the_example_or_an_edge(check):
    fixed = [f"For {words.inputs(case)}, " for case in (check.example, *check.edges)]
    assert len(check.mistakes) >= 4
    for wrong, sentence in check.mistakes:
        message = failed(check, wrong)
        assert any(case in message for case in fixed)
        assert sentence.endswith(".") and message.endswith(sentence)


@every_check
def test_right_on_the_visible_example_alone_fails(check):
    known = check.solution(*core._copies(check.example))

    def remembers(*args):
        return known if repr(args) == example else 0 * known

    example = repr(tuple(check.example.values()))
    assert "use its arguments" in failed(check, lambda *args: known)
    failed(check, remembers)


def distort(check, how, when=lambda args: True):
    """An attempt that gives how(the right answer) where when(arguments) holds."""

    def attempt(*args):
        right = check.solution(*args)
        return how(core._as_array(right)) if when(args) else right

    return attempt


def off_by_one(answer):
    return np.roll(answer, 1, axis=0) if answer.ndim else answer + 1


@every_check
def test_a_distorted_answer_fails(check):
    for how in (np.negative, lambda x: 1.01 * x, lambda x: x * np.nan, off_by_one):
        failed(check, distort(check, how))
    failed(check, distort(check, lambda x: x + 0.1, when=lambda args: COIN.random() < 0.5))
    assert "shape" in failed(check, distort(check, lambda x: x[..., None]))


FIXED = {"7.3"}  # four moves are four moves: there is no other shape to be wrong for


@every_check
def test_every_axis_varies_in_length(check):
    """An attempt that is right for one length alone, the example's or another, fails."""
    rng = np.random.default_rng(0)
    drawn = [core._copies(check.draw(rng)) for _ in range(50)]
    shapes = [[getattr(x, "shape", None) for x in case] for case in drawn]
    for several in [] if check.number in FIXED else zip(*shapes):
        for lengths in zip(*filter(None, several)):
            assert len(set(lengths)) > 1


@every_check
def test_inputs_are_drawn_from_the_generator_alone(check, unchanged_globals):
    first, second, again = (repr(check.draw(np.random.default_rng(n))) for n in (0, 1, 0))
    assert first == again != second
    cases = [check.example, *check.edges, check.draw(np.random.default_rng())]
    guarded = torch.Tensor | np.ndarray | list | tuple | Real  # what an attempt may not change
    for case in cases:
        assert all(isinstance(x, guarded) or callable(x) for x in case.values())
    with unchanged_globals():
        check(check.solution)
        for wrong, case in itertools.product([wrong for wrong, _ in check.mistakes], cases):
            with contextlib.suppress(Exception):
                wrong(*core._copies(case))


@pytest.mark.parametrize(
    ("check", "name"),
    [(c, name) for c in CHECKS.values() for name in ("gamma", "lam") if name in c.example],
    ids=lambda x: x if isinstance(x, str) else x.number,
)
def test_right_without_discount_alone_fails(check, name):
    def attempt(*args):
        return check.solution(*(1.0 if key == name else x for key, x in zip(check.example, args)))

    failed(check, attempt)


@every_check
def test_some_garbage_gets_a_sentence(check):
    """All of it is for the two checks of this file; here what inputs and mistakes have to do with."""
    for name in "too many arguments", "exception", "returns NaNs", "returns empty":
        failed(check, GARBAGE[name])


# --- the class: what counts as an answer ---------------------------------------------------------


@both
def test_the_stub_awaits(check):
    def stub(*args):
        """With a docstring."""
        raise NotImplementedError

    def called(*args):
        raise NotImplementedError()

    for attempt in stub, called:
        result = run(check, attempt)
        assert result.status == "awaiting"
        assert result.message == (
            f"Exercise {check.number} awaits your attempt: replace the line "
            '"raise NotImplementedError" and run the cell again.'
        )


@both
def test_another_not_implemented_error_is_a_failure(check):
    def stub():
        raise NotImplementedError

    def with_text(*args):
        raise NotImplementedError("Could not run 'aten::dot'")

    assert "aten::dot" in failed(check, with_text)
    assert "NotImplementedError" in failed(check, lambda *args: stub())


@both
def test_it_tries_the_example_first_then_edges_then_twenty_fresh_cases(check):
    seen = []

    def records(*args):
        seen.append(repr(args))
        return check.solution(*args)

    assert passed(check, records) is passed(check, records) is True
    count = 1 + len(check.edges) + core.RANDOM_CASES
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert core.RANDOM_CASES == 20 and len(first) == count * (2 if check.slopes else 1)
    assert first[0] == repr(tuple(check.example.values()))
    known = 1 + len(check.edges)
    assert first[:known] == second[:known] and first[known:] != second[known:]
    assert len(set(seen)) > len(seen) / 3


def wrong_at(number):
    """An attempt at `scaled` that is wrong at one of its cases."""
    count = itertools.count()
    return lambda values, scale: scale * values + (next(count) == number)


def test_each_edge_and_each_random_case_counts():
    assert "scale 0, expected [0, 0, 0, 0, 0, 0, 0], but" in failed(scaled, wrong_at(1))
    failed(scaled, wrong_at(21))
    assert passed(scaled, wrong_at(22)) is True  # there is no such case


def one_case(x, solution):
    """A check that has this input alone."""
    case = {"x": x}
    return core.Check("9.3", solution=solution, example=case, draw=lambda rng: case, mistakes=[])


@pytest.mark.parametrize(("size", "within"), [(1000.0, 0.08), (1.0, 8e-5), (0.001, 8e-6)])
def test_an_answer_is_close_relative_to_its_own_size(size, within):
    check = one_case(size, lambda x: x)
    check.draw = lambda rng: {"x": -size}
    assert passed(check, lambda x: x + within) is True
    assert "close but not equal" in failed(check, lambda x: x + 3 * within)
    assert "close" not in failed(check, lambda x: x * 1.1)


@both
def test_a_mistake_is_named_if_it_fits_everywhere(check):
    *_, (wrong, sentence) = check.mistakes
    assert failed(check, wrong).endswith(sentence)
    half = distort(check, np.negative, when=lambda args: len(args[0]) > 2)
    assert not failed(check, half).endswith(sentence)


def test_an_answer_may_be_written_over_by_the_next():
    buffers = {}

    def attempt(values, scale):
        buffer = buffers.setdefault(values.shape, np.empty(values.shape))
        buffer[...] = scale * values
        return buffer

    assert passed(scaled, attempt) is True


@both
def test_what_an_attempt_switches_off_does_not_move_the_goal(check):
    def attempt(*args):
        with torch.enable_grad():
            answer = check.solution(*args)
        torch.set_grad_enabled(False)
        return answer

    assert passed(check, attempt) is True

    def without_gradients(*args):
        torch.set_grad_enabled(False)
        return check.solution(*args)

    assert not check.slopes or "no gradient flows" in failed(check, without_gradients)


def test_a_wrong_gradient_behind_a_right_value_is_told():
    def half(log_probs, returns, valid):
        right = loss.solution(log_probs, returns, valid)
        return right / 2 + right.detach() / 2

    assert "the answer is right, but its gradient for log_probs is not" in failed(loss, half)


CHANGES = {
    "tensor": (torch.ones(2), lambda x: x.add_(1)),
    "mask": (torch.tensor([True, False]), lambda x: x.logical_not_()),
    "dtype": (torch.ones(2), lambda x: setattr(x, "data", x.double())),
    "array": (np.ones(2), lambda x: np.add(x, 1, out=x)),
    "list": ([1, [2]], lambda x: x[1].append(3)),
    "shorter": ([1, 2], lambda x: x.pop()),
    "tuple": ((torch.ones(2), 1), lambda x: x[0].add_(1)),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_input_changed_in_place_is_named(kind):
    thing, change = CHANGES[kind]
    check, before = one_case(thing, lambda x: 1.0), repr(thing)
    assert passed(check, check.solution) is True
    assert "changes its input x in place" in failed(check, lambda x: bool(change(x)) + 1.0)
    assert repr(thing) == before


def test_tensors_arrays_lists_and_gradients_all_count():
    for form in (
        lambda a: a,
        lambda a: a.tolist(),
        lambda a: a.astype(np.float32),
        lambda a: torch.tensor(a),
        lambda a: torch.tensor(a, requires_grad=True) * 1,
        lambda a: torch.tensor(a, dtype=torch.float32).requires_grad_(),
    ):
        assert passed(scaled, lambda values, scale, form=form: form(scale * values.numpy())) is True


# --- a storm of garbage --------------------------------------------------------------------------


def raises(error):
    def attempt(*args, **_):
        raise error

    return attempt


def gives(value):
    return lambda *args: value


def endless_recursion(*args):
    return endless_recursion(*args)


def generator(*args):
    yield 1.0


async def coroutine(*args):
    return 1.0


class Broken(Exception):
    def __str__(self):
        raise ValueError("no text")


class Agrees(np.ndarray):
    """Equal to everything."""

    def __eq__(self, other):
        return True

    __sub__ = __array_ufunc__ = lambda self, *args, **kwargs: np.zeros(())


class Liar(torch.Tensor):
    """Whatever torch is asked about it, the answer is 0."""

    @classmethod
    def __torch_function__(cls, *args, **kwargs):
        return torch.zeros(())


class ArrayLike:
    def __array__(self, *args, **kwargs):
        return np.zeros(3)

    def __eq__(self, other):
        return True

    __hash__ = None


class Evil:
    """Answers nothing: each look at it raises."""

    def __getattribute__(self, name):
        raise SystemExit(name)

    def __float__(self):
        raise KeyboardInterrupt

    __len__ = __iter__ = __repr__ = __eq__ = __float__
    __hash__ = None


knot = []
knot.append(knot)

GARBAGE = {
    # not a function
    "None": None,
    "evil object": Evil(),
    # not this function
    "no arguments": lambda: 1.0,
    "too many arguments": lambda a, b, c, d, e, f: 1.0,
    "keyword only": lambda *, a: 1.0,
    "class": Evil,
    "builtin": max,
    "mock": MagicMock(),
    "generator": generator,
    "coroutine": coroutine,
    "another check": checks.expectation,
    # raises
    "exception": raises(ValueError("wrong\nvalue")),
    "base exception": raises(BaseException("base")),
    "group": raises(ExceptionGroup("several", [ValueError(1), TypeError(2)])),
    "broken exception": raises(Broken()),
    "long text": raises(ValueError("x " * 100_000)),
    "odd text": raises(ValueError("\x00\x1b[31m\ud800<b>\u202e")),
    "long type": raises(type("E" * 5000, (Exception,), {})("text")),
    "raises a number": lambda *args: (_ for _ in ()).throw(3),
    "check's own exception": raises(core._Unattempted()),
    "endless recursion": endless_recursion,
    # returns
    "returns None": gives(None),
    "returns text": gives("3.0"),
    "returns NaN": gives(math.nan),
    "returns NaNs": lambda *args: torch.full([3], math.nan),
    "returns complex": gives(1j),
    "returns objects": gives(np.array([None, "a"], dtype=object)),
    "returns dates": gives(np.array(["2020-01-01"], dtype="datetime64[D]")),
    "returns huge number": gives(10**400),
    "returns dict": gives({"a": 1}),
    "returns ragged": gives([[1.0], [1.0, 2.0]]),
    "returns empty": gives([]),
    "returns knot": gives(knot),
    "returns wrong shape": gives(torch.ones(2, 3, 4, 5)),
    "returns wrong dtype": gives(torch.ones(3, dtype=torch.bool)),
    "returns meta": gives(torch.ones(3, device="meta")),
    "returns sparse": gives(torch.ones(3).to_sparse()),
    "returns far too much, numpy": gives(np.broadcast_to(0.0, (10**6, 10**6))),
    "returns its inputs": lambda *args: args,
    "returns evil": lambda *args: Evil(),
    "returns evil list": lambda *args: [Evil()],
    "returns mock": lambda *args: MagicMock(),
    "returns what equals all": lambda *args: np.full(5, 0.5).view(Agrees),
    "returns a number that equals all": gives(type("Same", (float,), {"__eq__": gives(True)})(0.7)),
    "returns array-like": lambda *args: ArrayLike(),
    "returns liar": lambda *args: torch.ones(5).as_subclass(Liar),
    "returns specified mock": lambda *args: MagicMock(spec=torch.Tensor),
    "returns masked": gives(np.ma.masked_all(5)),
    "returns another on each call": lambda *args: torch.ones(COIN.integers(2, 9)),
    "returns namespace": gives(SimpleNamespace(dtype="float", shape=(3,))),
}


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.filterwarnings("error")
def test_garbage_gets_a_sentence(garbage):
    started = time.monotonic()
    message = failed(scaled, GARBAGE[garbage])
    assert "not finished" not in message and "could not start" not in message
    assert time.monotonic() - started < 2
    wait_for_no_worker()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_the_kind_of_exception_is_told(kind):
    assert f"your function raised {kind.__name__} at line" in failed(scaled, raises(kind))


def test_an_exception_is_told_with_the_learners_line():
    def attempt(values, scale):
        inner = {}
        return inner["reward"]

    line = attempt.__code__.co_firstlineno + 2
    assert (f"""raised KeyError ("'reward'") at line {line}: return inner["reward"].""") in failed(
        scaled, attempt
    )


def test_a_wrong_answer_to_the_example_is_told_before_a_later_exception():
    def attempt(values, scale):
        return values[:2] + values[1] - values[1]  # fits two values alone

    assert "For values [1, 3] and scale 2, expected [2, 6], but got [1, 3]." in failed(
        scaled, attempt
    )


def test_an_exception_inside_a_library_is_told_with_the_learners_line():
    def attempt(values, scale):
        return np.linalg.inv(np.zeros((3, 3)))

    assert ": return np.linalg.inv(np.zeros((3, 3)))." in failed(scaled, attempt)


def backward_twice(values, scale):
    total = (values.requires_grad_() ** 2).sum()
    total.backward()
    total.backward()


HINTS = {  # what an attempt does, and how the sentence for it ends: before that stands its line
    "index": (lambda values, scale: values[9], "they are 0 to n - 1, or -n to -1 from the end."),
    "exp": (lambda values, scale: math.exp(1000 * scale), "let the largest exponent be 0."),
    "if": (lambda values, scale: scale if values > 0 else values, "or use ~, & and |."),
    "no tensor": (lambda values, scale: scale.backward(), "of what you differentiate by."),
    "no graph": (lambda values, scale: values.sum().backward(), "to whoever trains with it."),
    "twice": (backward_twice, "anew before each backward()."),
    "lengths": (lambda values, scale: values + torch.ones(9), "by 1, look at your slices."),
    "max": (lambda values, scale: values - values.max(0), "or use amax() and amin()."),
    "flags": (lambda values, scale: torch.where(values, values, values), "condition by == 1."),
    "nothing found": (lambda values, scale: next(iter([])), "it overlooks a case."),
    "not there": (lambda values, scale: [].index(scale), "it overlooks a case."),
    "in place": (lambda values, scale: values.requires_grad_().add_(1), "change one in place."),
    "numpy": (lambda values, scale: values.requires_grad_().numpy(), "flow only there."),
}


@pytest.mark.parametrize("slip", HINTS)
def test_what_python_and_torch_say_comes_with_a_hint(slip):
    attempt, hint = HINTS[slip]
    assert failed(scaled, attempt).endswith(hint)


def test_an_answer_too_large_for_memory_is_not_looked_at():
    message = failed(scaled, gives(torch.zeros(1).expand(10**12)))
    assert "far too many numbers, in the shape [1000000000000]" in message


def test_flags_are_shown_as_flags():
    assert "and valid [True, True], " in failed(loss, lambda *case: torch.zeros(1).sum())


def test_the_number_of_arguments_is_told():
    message = failed(scaled, lambda values: values)
    assert "called with 2 arguments (values, scale)" in message


# --- time ----------------------------------------------------------------------------------------


def endless(*args):
    while True:
        pass


def endless_catching(*args):
    while True:
        try:
            len(args)
        except BaseException:
            pass


def endless_catching_inside(*args):
    while True:
        try:
            endless()
        except BaseException:
            pass


def endless_catching_sleeping(*args):
    while True:
        try:
            time.sleep(0.02)
        except:  # noqa: E722
            pass


def endless_finally(*args):
    try:
        endless()
    finally:
        endless()


def endless_generator(*args):
    return sum(1 for _ in iter(int, 1))


class EndlessAnswer(list):
    def __iter__(self):
        return iter(int, 1)


# There an exception that arrives behind a handler counts as raised in the try block around it.
not_on_3_12 = pytest.mark.skipif(sys.version_info[:2] == (3, 12), reason="cannot be ended there")

ENDLESS = [
    endless,
    endless_catching,
    pytest.param(endless_catching_inside, marks=not_on_3_12),
    pytest.param(endless_catching_sleeping, marks=not_on_3_12),
    endless_finally,
    endless_generator,
    lambda *args: EndlessAnswer(),
]


@pytest.mark.parametrize("attempt", ENDLESS)
def test_an_endless_loop_is_ended(monkeypatch, attempt):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    started = time.monotonic()
    message = failed(scaled, attempt)
    assert "not finished after 0.2 seconds and was stopped" in message
    assert time.monotonic() - started < 1.5
    wait_for_no_worker()


def test_the_real_limit_is_a_few_seconds():
    assert 1 <= core.TIME_LIMIT <= 10


class SlowFingers:
    """Someone at a debugger's prompt who thinks for half a second, then goes on."""

    def readline(self):
        time.sleep(0.5)
        return "c\n"


def test_time_stands_still_at_a_debuggers_prompt(monkeypatch):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    monkeypatch.setattr(core, "RANDOM_CASES", 0)

    def watched(values, scale):
        pdb.Pdb(stdin=SlowFingers(), stdout=io.StringIO()).set_trace()
        return scale * values

    assert run(scaled, watched).status == "passed"
    wait_for_no_worker()


def test_time_stands_still_while_a_module_is_imported(monkeypatch, tmp_path):
    (tmp_path / "slow_to_import.py").write_text("import time; time.sleep(0.5); scaled = 1")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    monkeypatch.setattr(core, "RANDOM_CASES", 0)

    def importing(values, scale):
        import slow_to_import

        return scale * values * slow_to_import.scaled

    assert run(scaled, importing).status == "passed"
    wait_for_no_worker()


LOOKED_AT_OFTEN = """
import gc, sys, threading, time
from helpers import checks
from helpers.checks import running

class LetsOthersGoOn:  # as a file or a socket does when it is closed
    def __init__(self):
        self.itself = self

    def __del__(self):
        time.sleep(0)

def calls():
    while not looked.is_set():
        for wrong, _ in checks.agent_loss.mistakes:
            checks.agent_loss._judge(wrong)

looked = threading.Event()
run = running.Run(calls)
run.start()
sys.setswitchinterval(1e-5)
gc.set_threshold(50, 5, 5)
end = time.monotonic() + 3
while time.monotonic() < end:
    LetsOthersGoOn(), LetsOthersGoOn()
    run._counts()
assert gc.isenabled()
looked.set()
run.join()
"""


def test_a_look_at_what_runs_breaks_nothing():
    command = [sys.executable, "-c", LOOKED_AT_OFTEN]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_cannot_be_ended_does_not_hang_the_check(monkeypatch):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    release = threading.Event()
    started = time.monotonic()
    message = failed(scaled, lambda values, scale: release.wait(60))
    assert "cannot be stopped: restart the kernel" in message
    assert time.monotonic() - started < 3
    release.set()
    wait_for_no_worker()


def test_the_limit_holds_outside_the_main_thread(monkeypatch):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    found = []
    thread = threading.Thread(target=lambda: found.append(scaled(endless)))
    thread.start()
    thread.join(5)
    assert "was stopped" in found[0].message
    wait_for_no_worker()


@pytest.mark.parametrize("attempt", [endless, endless_catching])
def test_the_learners_interrupt_passes_through(attempt):
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        scaled(attempt)
    timer.join()
    wait_for_no_worker()


def test_a_check_inside_its_own_function_is_named():
    def attempt(values, scale):
        found.append(scaled(attempt))
        return values * scale

    found = []
    assert scaled(attempt).status == "passed"
    assert "called inside your function" in found[0].message


def test_no_thread_to_be_had(monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", raises(RuntimeError("can't start new thread")))
    monkeypatch.setattr(threading, "_start_new_thread", _thread.start_new_thread, raising=False)
    monkeypatch.setattr(
        threading, "_start_joinable_thread", _thread.start_new_thread, raising=False
    )
    assert "can't start new thread" in failed(scaled, scaled.solution)


# --- what is shown, and what is left alone -------------------------------------------------------


@both
def test_global_random_states_stay(check, unchanged_globals):
    with unchanged_globals():
        for attempt in [check.solution, raises(NotImplementedError), None, gives(1.0)]:
            check(attempt)


def test_a_result_shows_itself_in_a_notebook():
    for attempt in torch.mul, None, raises(NotImplementedError):
        result = scaled(attempt)
        shown, _ = DisplayFormatter().format(result)
        assert shown["text/plain"] == str(result) == result.message
        assert "border-left" in shown["text/html"] and "color: #" not in shown["text/html"]


def test_symbol_and_words_tell_the_status_without_colour():
    results = {
        status: core.Result(status, status)._repr_html_()
        for status in ("awaiting", "passed", "failed")
    }
    symbols = {status: html.split("</strong>")[0][-1] for status, html in results.items()}
    assert len(set(symbols.values())) == 3


def test_text_is_escaped():
    def attempt(values, scale):
        raise ValueError("<script>alert(1)</script> & more")

    shown = scaled(attempt)._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "&amp; more" in shown


def test_output_of_the_learner_is_theirs(capsys):
    scaled(lambda values, scale: print("seen") or scale * values)
    assert capsys.readouterr().out.startswith("seen\n")


def test_what_follows_may_use_the_learners_function(capsys):
    def stub(values, scale):
        raise NotImplementedError

    def yours(values, scale):
        return values * scale

    ours = scaled.solution
    for fn, used in [(stub, ours), (lambda values, scale: values, ours), (yours, yours)]:
        assert checks.yours_or(fn, ours, scaled) is used
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in said] == ["our", "our", "your"]


# --- losses --------------------------------------------------------------------------------------


def test_several_losses_may_be_stacked():
    def stacked(*inputs):
        return torch.stack(list(checks.actor_critic_losses.solution(*inputs)))

    assert passed(checks.actor_critic_losses, stacked) is True


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("number", [torch.Tensor.item, lambda loss: loss.detach().numpy()])
def test_a_loss_that_is_a_plain_number_is_named(which, number):
    def attempt(*inputs):
        losses = list(checks.actor_critic_losses.solution(*inputs))
        losses[which] = number(losses[which])
        return losses

    assert "a loss is a plain number, from which no gradient flows" in failed(
        checks.actor_critic_losses, attempt
    )


@pytest.mark.parametrize("check", [loss, checks.actor_critic_losses], ids=["one", "several"])
def test_backward_inside_a_loss_is_named(check):
    def eager(*inputs):
        loss = check.solution(*inputs)
        sum(loss if isinstance(loss, list | tuple) else [loss]).backward(retain_graph=True)
        return loss

    assert "leaves backward() to whoever trains with it" in failed(check, eager)

    def eager_where_it_can(*inputs):
        loss = check.solution(*inputs)
        total = sum(loss if isinstance(loss, list | tuple) else [loss])
        if total.requires_grad:
            total.backward(retain_graph=True)
        return loss

    assert "calls backward() itself: return the loss" in failed(check, eager_where_it_can)
