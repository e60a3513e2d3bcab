"""The checks of all exercises by name: `checks.expectation(expectation)` returns a Result.

`checks.yours_or(yours, ours, check)` is the learner's function where it passes, else the course's.
"""

# ruff: noqa: F401 (the names are here to be found)

from helpers.checks.core import yours_or
from helpers.checks.lesson_00 import expectation, slope, totals_per_environment
from helpers.checks.lesson_01 import monte_carlo_gradient, repaired_gradient, score
from helpers.checks.lesson_02 import discounted_returns, reinforce_loss, repaired_loss
from helpers.checks.lesson_03 import actor_critic_losses, td_error, undetached
from helpers.checks.lesson_04 import generalised_advantages, masked_policy_loss, repaired_gae
from helpers.checks.lesson_05 import entropy_gradient, repaired_bonus, soft_optimal
from helpers.checks.lesson_06 import outcome_losses, regret, repaired_advantages, worth_of_a_try
from helpers.checks.lesson_07 import agent_loss, arrival_times, repaired_film
from helpers.checks.lesson_07_grid import four_moves, slip_row
from helpers.checks.lesson_08 import backed_up, repaired_replies, updated_belief
from helpers.checks.lesson_09 import clipped_policy_loss, ratios_of, repaired_epochs
from helpers.checks.lesson_10 import repaired_critic_loss, soft_target, squashed_log_prob
from helpers.checks.lesson_11 import comparison_loss, direct_preference_loss
from helpers.checks.lesson_11_group import group_advantages, repaired_price
from helpers.checks.lesson_12 import asymmetric_loss, conservative_penalty, repaired_targets
from helpers.checks.lesson_13 import critic_input, joint_value, repaired_team_reward
from helpers.checks.lesson_14 import behaviour_ratio, repaired_trace, vtrace_targets
from helpers.checks.lesson_15 import prediction_errors, repaired_credit, three_factors
from helpers.checks.lesson_16 import auction_revenue, doubly_robust, repaired_slope
from helpers.checks.lesson_17 import gain_cost, repaired_cost, riccati_step
from helpers.checks.lesson_18 import improvement, middle_half, repaired_iqms
