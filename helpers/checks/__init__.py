"""The checks of all exercises by name: `checks.expectation(expectation)` returns a Result."""

from helpers.checks.lesson_00 import expectation, slope, totals_per_environment
from helpers.checks.lesson_01 import monte_carlo_gradient, repaired_gradient, score

__all__ = [
    "expectation",
    "monte_carlo_gradient",
    "repaired_gradient",
    "score",
    "slope",
    "totals_per_environment",
]
