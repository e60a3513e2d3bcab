"""One kind of error for what a learner can mend, and the checks of arguments that raise it."""

import math
from numbers import Integral, Real


class SlipError(ValueError):
    """A wrong argument. In a notebook it shows its sentence alone, without a traceback."""

    def _render_traceback_(self):  # the hook IPython calls in place of printing a traceback
        return [f"{type(self).__name__}: {self}"]


def check_fraction(name, value):
    """Raise SlipError unless value is a number in [0, 1] (gamma, lambda, a probability)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise SlipError(f"{name} must be a number from 0 to 1, but is {value!r}.")


def check_clip(name, value):
    """Raise SlipError unless value is a number above 0 and at most 1 (PPO's epsilon).

    At 1 the lower bound of the ratio is 0, which no ratio passes, so that only rises are clipped;
    above 1 it would be negative.
    """
    check_fraction(name, value)
    if value == 0:
        raise SlipError(f"{name} must be above 0: at 0 every change of the policy is clipped.")


def check_positive(name, value):
    """Raise SlipError unless value is a finite number above 0 (a learning rate)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 < value < math.inf:
        raise SlipError(f"{name} must be a finite number above 0, but is {value!r}.")


def check_not_negative(name, value):
    """Raise SlipError unless value is a finite number of at least 0 (a coefficient)."""
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value < math.inf:
        raise SlipError(f"{name} must be a finite number of at least 0, but is {value!r}.")


def check_count(name, value, least=1):
    """Raise SlipError unless value is a whole number of at least `least` (steps, a seed)."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise SlipError(f"{name} must be a whole number of at least {least}, but is {value!r}.")


def check_shape(name, array, expected, meaning):
    """Raise SlipError unless array has the expected shape; `meaning` says what its axes are."""
    if tuple(array.shape) != tuple(expected):
        raise SlipError(
            f"{name} must have the shape {tuple(expected)} ({meaning}), "
            f"but has {tuple(array.shape)}."
        )
