"""The checks of all exercises by name: `checks.expectation(expectation)` returns a Result."""

from helpers.checks.lesson_00 import expectation, slope, totals_per_environment
from helpers.checks.lesson_01 import monte_carlo_gradient, repaired_gradient, score
from helpers.checks.lesson_02 import discounted_returns, reinforce_loss, repaired_loss
from helpers.checks.lesson_03 import actor_critic_losses, td_error, undetached
from helpers.checks.lesson_04 import generalised_advantages, masked_policy_loss, repaired_gae
from helpers.checks.lesson_05 import entropy_gradient, repaired_bonus, soft_optimal

__all__ = [
    "actor_critic_losses",
    "discounted_returns",
    "entropy_gradient",
    "expectation",
    "generalised_advantages",
    "masked_policy_loss",
    "monte_carlo_gradient",
    "reinforce_loss",
    "repaired_bonus",
    "repaired_gae",
    "repaired_gradient",
    "repaired_loss",
    "score",
    "slope",
    "soft_optimal",
    "td_error",
    "totals_per_environment",
    "undetached",
]
