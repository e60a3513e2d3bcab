"""Shared by several test files."""

import contextlib
import os
import signal

import pytest
from random_states import global_states

from helpers.live import guesses

# A shell starts what runs in its background with interrupts ignored; some tests send them.
signal.signal(signal.SIGINT, signal.default_int_handler)


def lacking(reason):
    """Skip, as the machine lacks something; where COURSE_REQUIRE_ALL is set, fail."""
    if os.environ.get("COURSE_REQUIRE_ALL"):
        pytest.fail(f"COURSE_REQUIRE_ALL is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture
def no_page(monkeypatch):
    """Predictions are asked of nobody, and those of other tests are forgotten."""
    monkeypatch.setattr(guesses, "_asked", {})
    monkeypatch.setattr(guesses, "display", lambda prediction: None)


@pytest.fixture
def unchanged_globals():
    """`with unchanged_globals():` fails where the block draws from a global generator."""

    @contextlib.contextmanager
    def unchanged():
        before = global_states()
        yield
        assert global_states() == before

    return unchanged
