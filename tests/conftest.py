"""Shared by several test files."""

import contextlib

import pytest
from random_states import global_states


@pytest.fixture
def unchanged_globals():
    """`with unchanged_globals():` fails where the block draws from a global generator."""

    @contextlib.contextmanager
    def unchanged():
        before = global_states()
        yield
        assert global_states() == before

    return unchanged
