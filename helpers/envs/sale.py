"""A seller with a few items and a few days: an auction with a reserve price on each day."""

import numpy as np
from gymnasium.spaces import Box

from helpers.envs.functional import FunctionalEnv
from helpers.errors import SlipError, check_count


class SaleDynamics:
    r"""The rules of a sale (see envs.functional); a state is [..., 2]: days left and items left.

    Each day `bidders` new buyers come, with values drawn uniformly from [0, 1], and one item is sold
    by a second-price auction: the action [..., 1] is the reserve price. If the highest value reaches
    it, its owner pays the second highest value or the reserve, whichever is more, and that is the
    reward; else nothing is sold. A reserve below 0 is as good as none, and above 1 nothing is sold.
    With one bidder it is a posted price, at least 0.
    The sale ends when the days or the items are used up. Seen are the shares that are left.
    Raises SlipError for other days, items or bidders than whole numbers from 1 up.

    Gallego & van Ryzin 1994, in discrete time. Solved exactly in notebooks/16_reserve_price.ipynb.
    """

    observation_space = Box(0, 1, (2,), np.float32)
    action_space = Box(0, 1, (1,), np.float32)

    def __init__(self, days=10, items=3, bidders=1):
        for name, count in (("days", days), ("items", items), ("bidders", bidders)):
            check_count(name, count)
        self.first, self.bidders = np.array([days, items]), bidders

    def initial(self, shape, generator=None):
        return np.broadcast_to(self.first, (*shape, 2)).copy()

    def transition(self, states, actions, generator):
        values = np.sort(generator.random((*states.shape[:-1], self.bidders)), -1)
        price = actions[..., 0].astype(float)
        sold = (values[..., -1] >= price) & (states > 0).all(-1)
        second = values[..., -2] if self.bidders > 1 else 0.0
        states = states - np.stack([np.ones_like(sold), sold], -1)
        return states, np.where(sold, np.maximum(price, second), 0.0), (states <= 0).any(-1)

    def observation(self, states):
        return (states / self.first).clip(0, 1).astype(np.float32)

    def render(self, state, mode):
        if mode != "ansi":
            raise SlipError("A sale is shown as text: render_mode='ansi'.")
        return "{} days and {} items left".format(*state)


class Sale(FunctionalEnv):
    """One sale at a time, registered as course/Sale-v0; Sale.vector makes many."""

    metadata = FunctionalEnv.metadata | {"render_modes": ["ansi"]}
    make_dynamics = SaleDynamics


SaleVector = Sale.vector
