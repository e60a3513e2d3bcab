"""Inputs and answers in words that fit into a sentence."""

import math
import textwrap
from numbers import Real

import numpy as np
import torch

MOST_ENTRIES = 12  # a larger array is named by its shape


def plain(text, width):
    """One line of printable characters, cut at width."""
    printable = "".join(c if c.isprintable() else " " for c in text)
    return textwrap.shorten(printable, width, placeholder=" ...")


def inputs(case):
    """`probabilities [0.5, 0.5] and values [4, 0]` for the dictionary of these.

    A function is shown as its repr, which should be a formula in x.
    """
    parts = [
        f"{name}(x) = {value!r}" if callable(value) else f"{name} {show(value)}".strip()
        for name, value in case.items()
    ]
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))


def show(value):
    """A tensor, array or number; nothing for what has no readable form."""
    if isinstance(value, torch.Tensor):
        value = value.detach().numpy()
    if isinstance(value, np.ndarray):
        return _entries(value) if value.size <= MOST_ENTRIES else f"of shape {list(value.shape)}"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{float(value):.6g}"
    text = repr(value)
    return "" if text.startswith("<") else plain(text, 80)


def difference(answer, right):
    """`expected 4, but got 12` for two float arrays that differ in shape or numbers."""
    if answer.shape != right.shape:
        return f"expected {_kind(right)}, but got {_kind(answer)}"
    if right.size <= MOST_ENTRIES:
        return f"expected {_entries(right)}, but got {_entries(answer)}"
    with np.errstate(invalid="ignore"):
        apart = np.abs(answer - right)
    worst = np.argmax(np.where(np.isnan(apart), math.inf, apart))
    at = np.unravel_index(worst, right.shape)
    return f"expected {right[at]:.6g} at {list(map(int, at))}, but got {answer[at]:.6g}"


def _kind(array):
    return f"numbers of shape {list(array.shape)}" if array.ndim else "a single number"


def _entries(array):
    if array.ndim == 0:
        if array.dtype == bool:
            return str(array)
        return f"{float(array) + 0.0:.6g}"  # + 0.0 turns -0 into 0
    return "[" + ", ".join(map(_entries, array)) + "]"
