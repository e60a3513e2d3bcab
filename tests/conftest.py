"""Shared by several test files."""

import contextlib
import random

import numpy as np
import pytest
import torch


def _global_states():
    return {
        "random": random.getstate(),
        "numpy": repr(np.random.get_state(legacy=False)),  # noqa: NPY002 (the global one is meant)
        "torch": torch.get_rng_state().tolist(),
    }


@pytest.fixture
def unchanged_globals():
    """`with unchanged_globals():` fails where the block draws from a global generator."""

    @contextlib.contextmanager
    def unchanged():
        before = _global_states()
        yield
        assert _global_states() == before

    return unchanged
