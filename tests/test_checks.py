"""Every exercise's check: stub, solutions, wrong attempts, and whatever else it may be handed.

All tests run for every check that helpers.checks exports. What is particular to a lesson stands in
attempts_lesson_NN.py beside this file, as two dictionaries by exercise name:

    RIGHT = {"expectation": [attempt, ...]}           correct, usual and unusual
    WRONG = {"expectation": [(attempt, words), ...]}  what `mistakes` does not hold already, and words
                                                      that the message must contain
"""

import _thread
import functools
import importlib
import io
import math
import pdb
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter

from helpers import checks
from helpers.checks import core

CHECKS = {name: c for name, c in vars(checks).items() if isinstance(c, core.Check)}
LESSONS = [
    importlib.import_module(path.stem)
    for path in sorted(Path(__file__).parent.glob("attempts_lesson_*.py"))
]
RIGHT = {name: attempts for lesson in LESSONS for name, attempts in lesson.RIGHT.items()}
WRONG = {name: attempts for lesson in LESSONS for name, attempts in lesson.WRONG.items()}

COIN = np.random.default_rng()
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)


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


# --- attempts ------------------------------------------------------------------------------------


def test_every_check_has_attempts():
    assert set(checks.__all__) == {*CHECKS, "yours_or"}
    assert set(RIGHT) == set(WRONG) == set(CHECKS)
    assert all(len(set(attempts)) >= 2 for attempts in RIGHT.values())
    assert all(len({fn for fn, _ in attempts}) >= 2 for attempts in WRONG.values())


@every_check
def test_classic_mistakes_have_sentences_of_their_own(check):
    assert len(check.mistakes) >= 4
    assert all(sentence.endswith(".") for _, sentence in check.mistakes)


@every_check
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


@every_check
def test_another_not_implemented_error_is_a_failure(check):
    def stub():
        raise NotImplementedError

    def with_text(*args):
        raise NotImplementedError("Could not run 'aten::dot'")

    assert "aten::dot" in failed(check, with_text)
    assert "NotImplementedError" in failed(check, lambda *args: stub())


@every_check
def test_its_own_solution_passes_every_time(check):
    for _ in range(20):
        assert run(check, check.solution).status == "passed"


@pytest.mark.parametrize(("check", "attempt"), of_each(RIGHT))
def test_right(check, attempt):
    assert run(check, attempt).status == "passed", run(check, attempt)


@pytest.mark.parametrize(("check", "attempt"), of_each(WRONG))
def test_wrong(check, attempt):
    attempt, words = attempt
    assert words in failed(check, attempt)


@pytest.mark.parametrize(
    ("check", "mistake"), of_each({name: check.mistakes for name, check in CHECKS.items()})
)
def test_each_classic_mistake_is_named_on_the_example(check, mistake):
    wrong, sentence = mistake
    messages = {failed(check, wrong) for _ in range(3)}
    assert len(messages) == 1, "the message depends on the random inputs"
    assert messages.pop().endswith(sentence)


@every_check
def test_right_on_the_visible_example_alone_fails(check):
    known = check.solution(*core._copies(check.example))

    def remembers(*args):
        return known if repr(args) == example else 0 * known

    example = repr(tuple(check.example.values()))
    assert "use its arguments" in failed(check, lambda *args: known)
    failed(check, remembers)


def distort(check, when, how):
    """An attempt that gives how(the right answer) where when(arguments) holds."""

    def attempt(*args):
        right = check.solution(*args)
        return how(core._as_array(right)) if when(args) else right

    return attempt


def shapes(args):
    return [getattr(x, "shape", None) for x in args]


def at_times(args):
    return COIN.random() < 0.5


def off_by_one(answer):
    return np.roll(answer, 1, axis=0) if answer.ndim else answer + 1


@every_check
@pytest.mark.parametrize(
    "how",
    [np.negative, lambda x: 1.01 * x, lambda x: x * np.nan, off_by_one, lambda x: x[..., None]],
)
def test_a_distorted_answer_fails(check, how):
    failed(check, distort(check, lambda args: True, how))
    failed(check, distort(check, at_times, lambda x: how(x) + 0.1))


FIXED = {"7.3"}  # four moves are four moves: there is no other shape to be wrong for


@every_check
def test_right_for_the_shapes_of_the_example_alone_fails(check):
    visible = core._copies(check.example)
    if check.number not in FIXED and any(isinstance(x, torch.Tensor) and x.dim() for x in visible):
        other = lambda args: shapes(args) != shapes(visible)  # noqa: E731
        failed(check, distort(check, other, lambda x: x + 0.1))


@every_check
def test_every_axis_varies_in_length(check):
    rng = np.random.default_rng(0)
    drawn = (
        [] if check.number in FIXED else [shapes(core._copies(check.draw(rng))) for _ in range(50)]
    )
    for several in zip(*drawn):
        for lengths in zip(*filter(None, several)):
            assert len(set(lengths)) > 1, "an attempt for this length alone would pass"


@every_check
def test_right_without_discount_alone_fails(check):
    names = list(check.example)
    for name in {"gamma", "lam"} & set(names):

        def attempt(*args, name=name):
            at = names.index(name)
            return check.solution(*args[:at], 1.0, *args[at + 1 :])

        failed(check, attempt)


@every_check
def test_an_answer_may_be_written_over_by_the_next(check):
    if check.slopes:
        pytest.skip("such a buffer has no gradient")
    buffers = {}

    def attempt(*args):
        right = core._as_array(check.solution(*args))
        buffer = buffers.setdefault(right.shape, np.empty(right.shape))
        buffer[...] = right
        return buffer

    assert run(check, attempt).status == "passed"


@every_check
def test_what_an_attempt_switches_off_does_not_move_the_goal(check):
    def attempt(*args):
        with torch.enable_grad():
            answer = check.solution(*args)
        torch.set_grad_enabled(False)
        return answer

    assert run(check, attempt).status == "passed"

    def without_gradients(*args):
        torch.set_grad_enabled(False)
        return check.solution(*args)

    assert not check.slopes or "no gradient flows" in failed(check, without_gradients)


@every_check
def test_inputs_are_fresh_at_each_check(check):
    seen = []

    def records(*args):
        seen.append(repr(args))
        return check.solution(*args)

    assert run(check, records).status == run(check, records).status == "passed"
    first, second = seen[: len(seen) // 2], seen[len(seen) // 2 :]
    assert first[0] == second[0] and first[1:] != second[1:]
    assert len(set(seen)) > len(seen) / 2


@every_check
def test_an_input_changed_in_place_is_named(check):
    example = core._copies(check.example)
    for i, name in enumerate(check.example):
        if isinstance(example[i], torch.Tensor):

            def changes(*args, i=i):
                answer = check.solution(*core._copies(dict(enumerate(args))))
                args[i].logical_not_() if args[i].dtype == torch.bool else args[i].add_(1)
                return answer

            assert f"changes its input {name} in place" in failed(check, changes)
    assert all(map(core._unchanged, example, check.example.values()))


@every_check
def test_an_extra_axis_is_named(check):
    message = failed(check, lambda *args: core._as_array(check.solution(*args))[..., None])
    assert "shape" in message


@every_check
def test_tensors_arrays_lists_and_gradients_all_count(check):
    if check.slopes:
        pytest.skip("of a loss its gradient is checked too, and these forms have none")

    def numbers(*args):
        return core._as_array(check.solution(*args))

    for form in (
        lambda a: a,
        lambda a: a.tolist(),
        lambda a: a.astype(np.float32),
        lambda a: torch.tensor(a),
        lambda a: torch.tensor(a, requires_grad=True) * 1,
        lambda a: torch.tensor(a, dtype=torch.float32).requires_grad_(),
    ):
        assert run(check, lambda *args, form=form: form(numbers(*args))).status == "passed"


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
    "number": 3.0,
    "string": "expectation",
    "tensor": torch.ones(3),
    "list": [1, 2],
    "module": math,
    "evil object": Evil(),
    # not this function
    "no arguments": lambda: 1.0,
    "too many arguments": lambda a, b, c, d, e, f: 1.0,
    "keyword only": lambda *, a: 1.0,
    "class": Evil,
    "int": int,
    "builtin": max,
    "print": print,
    "partial": functools.partial(pow, 2),
    "mock": MagicMock(),
    "generator": generator,
    "coroutine": coroutine,
    "exit": exit,
    "another check": checks.expectation,
    "a check's result": core.Result("passed", "passed"),
    # raises
    "exception": raises(ValueError("wrong\nvalue")),
    "no message": raises(AssertionError),
    "system exit": raises(SystemExit(1)),
    "keyboard interrupt": raises(KeyboardInterrupt),
    "generator exit": raises(GeneratorExit),
    "stop iteration": raises(StopIteration),
    "base exception": raises(BaseException("base")),
    "group": raises(ExceptionGroup("several", [ValueError(1), TypeError(2)])),
    "memory": raises(MemoryError("too large")),
    "not implemented": raises(NotImplementedError("later")),
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
    "returns bytes": gives(b"3"),
    "returns NaN": gives(math.nan),
    "returns infinity": gives(-math.inf),
    "returns NaNs": lambda *args: torch.full([3], math.nan),
    "returns complex": gives(1j),
    "returns complex tensor": gives(torch.ones(3, dtype=torch.complex64)),
    "returns objects": gives(np.array([None, "a"], dtype=object)),
    "returns texts": gives(np.array(["1", "2"])),
    "returns dates": gives(np.array(["2020-01-01"], dtype="datetime64[D]")),
    "returns huge number": gives(10**400),
    "returns function": gives(print),
    "returns type": gives(torch.Tensor),
    "returns dict": gives({"a": 1}),
    "returns set": gives({1.0}),
    "returns map": lambda *args: map(float, [1, 2]),
    "returns ragged": gives([[1.0], [1.0, 2.0]]),
    "returns empty": gives([]),
    "returns empty tensor": gives(torch.ones(0, 3)),
    "returns knot": gives(knot),
    "returns wrong shape": gives(torch.ones(2, 3, 4, 5)),
    "returns wrong dtype": gives(torch.ones(3, dtype=torch.bool)),
    "returns meta": gives(torch.ones(3, device="meta")),
    "returns sparse": gives(torch.ones(3).to_sparse()),
    "returns far too much": gives(torch.zeros(1).expand(10**12)),
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
    "returns a check's result": lambda *args: core.Result("passed", "passed"),
    "returns namespace": gives(SimpleNamespace(dtype="float", shape=(3,))),
}


@every_check
@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.filterwarnings("error")
def test_garbage_gets_a_sentence(check, garbage):
    started = time.monotonic()
    message = failed(check, GARBAGE[garbage])
    assert "not finished" not in message and "could not start" not in message
    assert time.monotonic() - started < 2
    wait_for_no_worker()


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit, StopIteration])
def test_the_kind_of_exception_is_told(kind):
    assert f"your function raised {kind.__name__} at line" in failed(
        checks.expectation, raises(kind)
    )


def test_an_exception_is_told_with_the_learners_line():
    def attempt(p, v):
        inner = {}
        return inner["reward"]

    line = attempt.__code__.co_firstlineno + 2
    assert (f"""raised KeyError ("'reward'") at line {line}: return inner["reward"].""") in failed(
        checks.expectation, attempt
    )


def test_a_wrong_answer_to_the_example_is_told_before_a_later_exception():
    def attempt(p, v):
        return p[0] * v[0] * p[2] / p[2]  # fits three values alone

    found = failed(checks.expectation, attempt)
    assert "values [2, 0, 8], expected 3, but got 1" in found


def test_an_exception_inside_a_library_is_told_with_the_learners_line():
    def attempt(p, v):
        return np.linalg.inv(np.zeros((3, 3)))

    assert ": return np.linalg.inv(np.zeros((3, 3)))." in failed(checks.expectation, attempt)


def test_an_answer_too_large_for_memory_is_not_looked_at():
    message = failed(checks.expectation, gives(torch.zeros(1).expand(10**12)))
    assert "far too many numbers, in the shape [1000000000000]" in message


def test_the_number_of_arguments_is_told():
    message = failed(checks.expectation, lambda p: p)
    assert "called with 2 arguments (probabilities, values)" in message


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


def endless_catching_torch(*args):
    large = torch.ones(100_000)
    while True:
        try:
            large = large * 1.0
        except BaseException:
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
    pytest.param(endless_catching_torch, marks=not_on_3_12),
    endless_finally,
    endless_generator,
    lambda *args: EndlessAnswer(),
]


@pytest.mark.parametrize("attempt", ENDLESS)
def test_an_endless_loop_is_ended(monkeypatch, attempt):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    started = time.monotonic()
    message = failed(checks.expectation, attempt)
    assert "not finished after 0.2 seconds and was stopped" in message
    assert time.monotonic() - started < 1.5
    wait_for_no_worker()


@every_check
def test_every_check_has_the_time_limit(monkeypatch, check):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    assert "not finished" in failed(check, endless)
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

    def watched(probabilities, values):
        pdb.Pdb(stdin=SlowFingers(), stdout=io.StringIO()).set_trace()
        return (probabilities * values).sum()

    assert run(checks.expectation, watched).status == "passed"
    wait_for_no_worker()


def test_what_cannot_be_ended_does_not_hang_the_check(monkeypatch):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    release = threading.Event()
    started = time.monotonic()
    message = failed(checks.expectation, lambda p, v: release.wait(60))
    assert "cannot be stopped: restart the kernel" in message
    assert time.monotonic() - started < 3
    release.set()
    wait_for_no_worker()


def test_the_limit_holds_outside_the_main_thread(monkeypatch):
    monkeypatch.setattr(core, "TIME_LIMIT", 0.2)
    found = []
    thread = threading.Thread(target=lambda: found.append(checks.expectation(endless)))
    thread.start()
    thread.join(5)
    assert "was stopped" in found[0].message
    wait_for_no_worker()


@pytest.mark.parametrize("attempt", [endless, endless_catching])
def test_the_learners_interrupt_passes_through(attempt):
    timer = threading.Timer(0.2, _thread.interrupt_main)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        checks.expectation(attempt)
    timer.join()
    wait_for_no_worker()


def test_a_check_inside_its_own_function_is_named():
    def attempt(p, v):
        found.append(checks.expectation(attempt))
        return p @ v

    found = []
    assert checks.expectation(attempt).status == "passed"
    assert "called inside your function" in found[0].message


def test_no_thread_to_be_had(monkeypatch):
    monkeypatch.setattr(_thread, "start_new_thread", raises(RuntimeError("can't start new thread")))
    monkeypatch.setattr(threading, "_start_new_thread", _thread.start_new_thread, raising=False)
    monkeypatch.setattr(
        threading, "_start_joinable_thread", _thread.start_new_thread, raising=False
    )
    assert "can't start new thread" in failed(checks.expectation, torch.dot)


# --- what is shown, and what is left alone -------------------------------------------------------


@every_check
def test_global_random_states_stay(check, unchanged_globals):
    with unchanged_globals():
        for attempt in [check.solution, raises(NotImplementedError), None, gives(1.0)]:
            check(attempt)
        for wrong, _ in check.mistakes:
            check(wrong)


def test_a_result_shows_itself_in_a_notebook():
    for attempt in torch.dot, None, raises(NotImplementedError):
        result = checks.expectation(attempt)
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
    def attempt(p, v):
        raise ValueError("<script>alert(1)</script> & more")

    shown = checks.expectation(attempt)._repr_html_()
    assert "<script>" not in shown and "&lt;script&gt;" in shown and "&amp; more" in shown


def test_output_of_the_learner_is_theirs(capsys):
    checks.expectation(lambda p, v: print("seen") or p @ v)
    assert capsys.readouterr().out.startswith("seen\n")


def test_what_follows_may_use_the_learners_function(capsys):
    def ours(rewards):
        return rewards.sum(dim=0)

    def stub(rewards):
        raise NotImplementedError

    def yours(rewards):
        return ours(rewards)

    for fn, used in [(stub, ours), (lambda rewards: rewards, ours), (yours, yours)]:
        assert checks.yours_or(fn, ours, checks.totals_per_environment) is used
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[3] for line in said] == ["our", "our", "your"]


# --- losses --------------------------------------------------------------------------------------


def test_several_losses_may_be_stacked():
    def stacked(*inputs):
        return torch.stack(list(checks.actor_critic_losses.solution(*inputs)))

    assert run(checks.actor_critic_losses, stacked).status == "passed"


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


@pytest.mark.parametrize("check", [c for c in CHECKS.values() if c.slopes], ids=lambda c: c.number)
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
