"""The random generators that a whole process shares: lessons and helpers leave them alone."""

import contextlib
import random
from pathlib import Path

import numpy as np
import torch

with contextlib.suppress(ImportError):  # comes with the extra "logs"; scikit-learn then imports it
    import rich.style  # noqa: F401 (draws a number where it is imported first: let that be here)

# Cells to put before and behind a lesson's own.
BEFORE = f"""\
import sys
sys.path.append({str(Path(__file__).parent)!r})
from random_states import global_states
_states = global_states()
"""
BEHIND = """\
_drawn = [name for name, state in global_states().items() if state != _states[name]]
assert not _drawn, f"The lesson drew from the global generator of {_drawn}."
"""


def global_states():
    """What the global generators of Python, NumPy and torch would draw from next, by name."""
    return {
        "random": random.getstate(),
        "numpy": repr(np.random.get_state(legacy=False)),  # noqa: NPY002 (the global one is meant)
        "torch": torch.get_rng_state().tolist(),
    }


def seeded(seed):
    """A generator of one's own."""
    return torch.Generator().manual_seed(seed)
