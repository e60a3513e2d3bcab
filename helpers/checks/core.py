"""How an exercise is checked: run the learner's function safely, compare, say what is wrong.

A check is one object. `solution` knows the answer, `example` is tried first and is small enough to
be read in a message, `draw` makes a fresh random case, and each of `mistakes` is a classic wrong
implementation with the sentence for whoever wrote the same:

    double = Check(
        "7.1",
        solution=lambda x: 2 * x,
        example={"x": torch.tensor([1.0, 3.0])},
        draw=lambda rng: {"x": numbers(rng, rng.integers(1, 5))},
        mistakes=[(lambda x: x**2, "That is the square: multiply by 2 instead.")],
    )

    double(lambda x: x + x)  # Exercise 7.1 passed: ...
    double(lambda x: x * x)  # ... For x [1, 3], expected [2, 6], but got [1, 9]. That is the ...

A case is a dictionary: its values are handed over in order, as fresh copies; its keys name them in
messages. Choose an example, or edges, on which every mistake gives another answer than the solution.

A check helps whoever wants to learn. It is no exam: who digs the solution out of it, passes.
"""

import copy
import functools
import html
import inspect
import threading
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from numbers import Real

import numpy as np
import torch

from helpers.checks import running, words

TIME_LIMIT = 10.0  # seconds for all calls of a check: torch's first use of a tool may take two
RANDOM_CASES = 20
MOST_NUMBERS = 1_000_000  # an answer with more is not looked at: it need not fit into memory

latest = {}  # status of each exercise's last check, by number: what marks a class reads it


@dataclass(frozen=True)
class Result:
    """What a check found: status "awaiting", "passed" or "failed". A notebook shows the message."""

    status: str
    message: str

    def __repr__(self):
        return self.message

    def _repr_html_(self):
        # The words carry the verdict, symbol and colour repeat it; the text has the theme's colour.
        symbol, colour = {
            "passed": ("\u2713", "var(--jp-success-color1, #388e3c)"),
            "failed": ("\u2717", "var(--jp-error-color1, #d32f2f)"),
            "awaiting": ("\u2026", "var(--jp-info-color1, #0288d1)"),
        }[self.status]
        return (
            f'<div role="note" style="border-left: 4px solid {colour}; padding: 0.4em 0.8em">'
            f'<strong aria-hidden="true" style="color: {colour}">{symbol}</strong> '
            f"{html.escape(self.message)}</div>"
        )


def numbers(rng, *shape, low=-5, high=5):
    """Random float32 tensor of this shape with one decimal, so that messages stay readable."""
    return torch.tensor(np.round(rng.uniform(low, high, shape), 1), dtype=torch.float32)


@dataclass(eq=False, repr=False)
class Check:
    """Called as `checks.<exercise>(fn)`, returns a Result; it never raises and never hangs.

    number: the exercise's, such as "0.1".
    solution, example, draw, mistakes: see this module's docstring. Of several mistakes that fit,
        the first is told.
    edges: further cases that draw would miss: one larger than usual, and the ends of each
        argument's range (gamma 0 and 1, large logits, small numbers, a single step, ...).
    slopes: names of tensors among the inputs. The answer is a loss or several, and its gradients
        for these are compared as well: the value can be right, and teach nothing or the wrong one.
    read: what is done to an answer before it is looked at, such as to take it out of its list.
    near: the sentence for answers within 5 % of the expected ones, but not equal.
    tolerance: relative to each number, or to the largest of its answer if that is below 1 (at
        least 1e-5); the default allows for float32.

    Only the learner's own interrupt (KeyboardInterrupt) passes through. What keeps Python's lock to
    itself, such as sum(itertools.count()), cannot be ended from inside the same process.
    """

    number: str
    _: KW_ONLY
    solution: Callable
    example: dict
    draw: Callable
    mistakes: list
    edges: Sequence = ()
    slopes: Sequence = ()
    read: Callable = lambda answer: answer
    near: str = "That is close but not equal: look for rounding or an approximation."
    tolerance: float = 1e-4

    def __call__(self, fn):
        result = self._checked(fn)
        latest[self.number] = result.status
        return result

    def _checked(self, fn):
        if isinstance(threading.current_thread(), running.Run):
            return self._failed("The check is called inside your function: move it out of there.")
        run = running.Run(lambda: self._judge(fn))
        try:
            run.start()
            run.wait(TIME_LIMIT)
        except RuntimeError as error:  # no thread to be had
            return self._failed(f"The check could not start: {error}.")
        finally:
            run.stop()  # also when the learner interrupts
        return run.result or self._failed(_too_slow(run))

    def _judge(self, fn):
        try:
            self._compare(fn)
        except _Unattempted:
            return Result(
                "awaiting",
                f"Exercise {self.number} awaits your attempt: replace the line "
                '"raise NotImplementedError" and run the cell again.',
            )
        except _Problem as problem:
            return self._failed(str(problem))
        except running.Stop:
            raise
        except BaseException as error:  # an answer so odd that even looking at it fails
            return self._failed(f"The check cannot read your answer ({type(error).__name__}).")
        return Result(
            "passed",
            f"Exercise {self.number} passed: your function is right on the example and on "
            f"{len(self.edges) + RANDOM_CASES} other inputs.",
        )

    def _failed(self, sentence):
        text = f"Exercise {self.number} is not solved yet. {sentence}"
        return Result("failed", words.plain(text, 590))

    def _compare(self, fn):
        if not callable(fn):
            raise _Problem(
                "Hand the check the function itself: its name, without brackets after it "
                f"(what it got is of type {type(fn).__name__})."
            )
        rng = np.random.default_rng()
        cases = [self.example, *self.edges, *(self.draw(rng) for _ in range(RANDOM_CASES))]
        looks = [functools.partial(_ask, read=self.read)]
        if self.slopes:
            looks.append(functools.partial(_ask_slopes, names=self.slopes))
        # The solution goes first: fn may switch gradients off, and the solution would have none.
        expected = [[look(self.solution, case) for case in cases] for look in looks]
        for i, look in enumerate(looks):
            answers, problem = _ask_all(look, fn, cases)
            for case, answer, right in zip(cases, answers, expected[i]):
                for part in self._apart(answer, right):
                    found = words.difference(answer[part], right[part])
                    mistake = self._name_mistake(looks, cases, [*expected[:i], answers], expected)
                    raise _Problem(f"For {words.inputs(case)}, {part}{found}. {mistake}")
            if problem:
                raise problem

    def _apart(self, answer, right, tolerance=None):
        """The parts of an answer that are wrong."""
        tolerance = tolerance or self.tolerance
        return [part for part in right if not _close(answer[part], right[part], tolerance)]

    def _name_mistake(self, looks, cases, found, expected):
        """found: the answers of each look so far; only those of the last one are wrong."""
        for wrong, sentence in self.mistakes:
            if self._answers_like(wrong, looks, cases, found, expected):
                return sentence
        answers, rights = found[-1], expected[len(found) - 1]
        if len(answers) > 1 and not any(self._apart(answer, answers[0]) for answer in answers):
            return "Your function returns the same whatever it is given: use its arguments."
        if not any(self._apart(answer, right, 0.05) for answer, right in zip(answers, rights)):
            return self.near
        return ""

    def _answers_like(self, wrong, looks, cases, found, expected):
        """Past the example NaN may stand for any number: an overflow hides no other mistake."""
        try:
            return not any(
                self._apart(answer, look(wrong, case))
                for look, answers, rights in zip(looks, found, expected)
                for case, answer, right in zip(cases, answers, rights)
                if case is self.example or _finite(answer) or not _finite(right)
            )
        except Exception:  # a wrong implementation may fail on some input
            return False


def yours_or(yours, ours, check):
    """The learner's function if it passes its check, else the course's; prints which of the two."""
    passed = check(yours).status == "passed"
    print(
        f"What follows uses {'your own' if passed else 'our'} function of exercise {check.number}."
    )
    return yours if passed else ours


_NO_GRAD = (
    "A .grad is None until backward() has run, which itself returns None. It fills the .grad of the "
    "tensor that was used, not of one that torch.tensor(), clone() or detach() copied."
)


class _Problem(Exception):
    """A sentence for the learner."""


class _Unattempted(Exception):
    """The stub is still in place."""


def _too_slow(run):
    sentence = f"Your function had not finished after {TIME_LIMIT:g} seconds"
    if not run.ended.is_set():
        return f"{sentence} and cannot be stopped: restart the kernel before you go on."
    return f"{sentence} and was stopped: look for a loop that never ends."


def _close(answer, right, tolerance):
    """Whether shapes agree, and numbers within the tolerance; cancelled digits are no fault."""
    largest = np.abs(right).max(initial=0, where=np.isfinite(right))
    within = max(tolerance * min(1, largest), 1e-5)
    return answer.shape == right.shape and np.allclose(
        answer, right, rtol=tolerance, atol=within, equal_nan=True
    )


def _finite(answer):
    return all(np.isfinite(part).all() for part in answer.values())


def _ask_all(look, fn, cases):
    """The answers up to the first _Problem, and that problem: a wrong answer is told before it."""
    answers = []
    try:
        for case in cases:
            answers.append(look(fn, case))
    except _Problem as problem:
        return answers, problem
    return answers, None


def _ask(fn, case, read):
    """fn's answer to one case, as an array under no name; raises _Problem or _Unattempted."""
    handed = _copies(case)
    answer = read(_call(fn, case, handed))
    for name, before, after in zip(case, case.values(), handed):
        if not _unchanged(before, after):
            raise _Problem(
                f"Your function changes its input {name} in place, and others still need it: "
                "work on a copy, or make a new tensor."
            )
    try:
        return {"": _as_array(answer)}
    except _Problem as problem:
        autograd = running.mentions(fn, "grad") or running.mentions(fn, "backward")
        hint = _NO_GRAD if answer is None and autograd else ""
        raise _Problem(
            f"For {words.inputs(case)}, your function returned {problem}. {hint}"
        ) from None


def _ask_slopes(fn, case, names):
    """The gradient of each number that fn returns for each input of these names."""
    handed = _copies(case)
    leaves = [x.requires_grad_() for name, x in zip(case, handed) if name in names]
    answer = _call(fn, case, handed)
    several = isinstance(answer, list | tuple) or np.ndim(answer) == 1  # as torch.stack gives them
    losses = list(answer) if several else [answer]
    if any(leaf.grad is not None for leaf in leaves):
        raise _Problem(
            "The answer is right, but your function calls backward() itself: return the loss, and "
            "leave that to whoever trains with it."
        )
    if not all(isinstance(loss, torch.Tensor) for loss in losses):
        raise _Problem(
            f"For {words.inputs(case)}, the answer is right, but a loss is a plain number, from which "
            "no gradient flows: stay within torch, without item(), float() or numpy."
        )
    if not any(loss.requires_grad for loss in losses):
        raise _Problem(
            f"For {words.inputs(case)}, the answer is right, but no gradient flows from it: stay "
            "within torch, without item() or numpy, and detach only what is data."
        )
    try:
        slopes = [_slopes(loss, leaves) for loss in losses]
    except RuntimeError as error:
        raise _Problem(
            f"For {words.inputs(case)}, the answer is right, but PyTorch cannot take its gradient "
            f'("{words.plain(str(error), 100)}"). {running.hint(str(error))}'
        ) from None
    return {
        f"the answer is right, but {whose} gradient for {name} is not: ": _as_array(slope)
        for whose, found in zip(
            ["the first loss's", "the second loss's"] if losses[1:] else ["its"], slopes
        )
        for name, slope in zip(names, found)
    }


def _slopes(loss, leaves):
    if not loss.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    return torch.autograd.grad(
        loss, leaves, retain_graph=True, allow_unused=True, materialize_grads=True
    )


def _call(fn, case, handed):
    try:
        return fn(*handed)
    except running.Stop:
        raise
    except BaseException as error:
        if running.is_stub(error, fn):
            raise _Unattempted from None
        raised = running.describe(error, fn, list(case))
        raise _Problem(f"For {words.inputs(case)}, {raised}") from None


def _copies(case):
    return [copy.deepcopy(value) for value in case.values()]


def _unchanged(before, after):
    if isinstance(before, torch.Tensor):
        return before.dtype == after.dtype and torch.equal(before, after)
    if isinstance(before, np.ndarray):
        return np.array_equal(before, after)
    if isinstance(before, list | tuple):
        return len(before) == len(after) and all(map(_unchanged, before, after))
    return True  # numbers cannot change; functions and generators are there to be used


def _as_array(answer):
    """Float64 array of a tensor, array, number, or lists of them; raises _Problem for others."""
    if isinstance(answer, Real):
        return np.asarray(float(answer))
    if isinstance(answer, list | tuple):
        if any(part is None for part in answer):
            raise _Problem("a list with None in it, which is no number")
        parts = [_as_array(part) for part in answer]
        if len({part.shape for part in parts}) > 1:
            raise _Problem("a list whose parts have different shapes")
        return np.array(parts, dtype=np.float64)
    if isinstance(answer, torch.Tensor | np.ndarray | np.generic):
        return _tensor_as_array(answer)
    if answer is None:
        raise _Problem("None: end it with a return statement")
    if inspect.isgenerator(answer) or inspect.iscoroutine(answer):
        answer.close()  # else Python warns that it was never awaited
        raise _Problem("no numbers yet: write return in place of yield, and def without async")
    if callable(answer):
        raise _Problem("a function, not numbers")
    raise _Problem(f"something of type {type(answer).__name__}, not numbers")


def _tensor_as_array(answer):
    if np.prod(answer.shape, dtype=float) > MOST_NUMBERS:
        raise _Problem(f"far too many numbers, in the shape {list(answer.shape)}")
    if isinstance(answer, torch.Tensor):
        answer = answer.detach().cpu()
        answer = answer.double().numpy() if not answer.is_complex() else answer.numpy()
    if answer.dtype.kind not in "biuf":
        raise _Problem(f"entries of type {answer.dtype}, not real numbers")
    return np.array(answer, dtype=np.float64)  # a copy: fn may write its next answer into this one
