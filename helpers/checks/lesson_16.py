"""The checks of lesson 16: an auction's revenue, a doubly robust estimate, a clipped price's slope."""

import numpy as np
import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import Formula, of_mean, pairs

PAYS = "the winner pays the second highest bid or the reserve, whichever is more"


def _of_days(formula):
    return [(wrong, said.replace("steps", "days")) for wrong, said in of_mean(formula)]


_auction = Formula(
    "bids reserve",
    top=lambda c: c.bids.amax(-1),
    second=lambda c: c.bids.sort(-1).values[..., -2],
    pays=lambda c: c.second.clamp(min=c.reserve),
    sold=lambda c: c.top >= c.reserve,
    each=lambda c: c.sold * c.pays,
)


def _paying(*lines):
    """With another price for the winner."""
    return [_auction.but(pays=line) for line in lines]


def _draw_auctions(rng):
    bids = numbers(rng, rng.integers(2, 7), rng.integers(2, 5), low=0, high=1)
    return _auction.case(bids, float(rng.choice([0.15, 0.35, 0.55, 0.75])))


auction_revenue = Check(
    "16.1",
    solution=_auction,
    example=_auction.case([[0.25, 1.0, 0.75], [0.875, 0.25, 0.125], [0.25, 0.0, 0.375]], 0.5),
    edges=[
        _auction.case([[0.5, 0.25], [0.25, 0.5]], 0.5),
        _auction.case([[0.75, 0.75], [0.25, 0.25]], 0.5),
        _auction.case([[0.5, 0.25, 0.75], [0.0, 0.0, 0.0]], 0.0),
        _auction.case([[0.5, 0.75]], 1.0),
        _auction.case([[1.0, 0.25, 0.75, 0.5]], 0.25),
        _draw_auctions(np.random.default_rng(0)),
    ],
    draw=_draw_auctions,
    mistakes=pairs(
        [_auction.but(sold=lambda c: True), _auction.but(sold=lambda c: c.second >= 0)],
        "Nothing is sold where the highest bid is below the reserve: that day earns 0.",
        _auction.but(sold=lambda c: c.top > c.reserve),
        "A highest bid that equals the reserve has reached it: sell.",
        _auction.but(sold=lambda c: c.second >= c.reserve),
        "One bid that reaches the reserve is enough to sell; its bidder then pays the reserve.",
        _paying(lambda c: c.top),
        f"You let the winner pay her own bid, a first-price auction: here {PAYS}.",
        _paying(lambda c: c.second),
        f"The reserve never sets the price: {PAYS}.",
        _paying(lambda c: c.reserve),
        f"The second bid never sets the price: {PAYS}.",
        _paying(lambda c: c.second.clamp(max=c.reserve)),
        f"You take the smaller of the two: {PAYS}.",
        _paying(lambda c: c.second + c.reserve),
        f"You add the two up: {PAYS}.",
        _paying(lambda c: (c.second + c.reserve) / 2),
        f"You split the difference: {PAYS}.",
        _auction.but(each=lambda c: torch.where(c.sold, c.pays, c.second)),
        "Where the highest bid is below the reserve nobody pays: that day earns 0.",
        _auction.but(second=lambda c: c.bids[..., 1]),
        "The second highest bid need not stand second: sort the bids of each auction.",
        _auction.but(second=lambda c: c.bids.sort(-1).values[..., 1]),
        "sort() is ascending: the second highest bid is the last but one.",
        _auction.but(second=lambda c: c.bids.amin(-1)),
        "You take the lowest bid: the second highest is wanted.",
        _auction.but(second=lambda c: c.bids.masked_fill(c.bids == c.top[..., None], 0).amax(-1)),
        "Where two bids are highest, the second highest is as high as the highest.",
        [_auction.then(each=torch.mean), _auction.then(each=torch.sum)],
        "One number for each auction is wanted, [N].",
        _auction.but(each=lambda c: (c.sold * c.pays)[..., None]),
        "That is [N, 1], a column: one number for each auction is wanted, [N].",
        _auction.but(each=lambda c: torch.where(c.sold, c.pays, torch.nan)),
        "An auction without a sale earns 0: that is a number, not NaN.",
        _auction.but(top=lambda c: c.bids.amax(0), second=lambda c: c.bids.sort(0).values[-2:][0]),
        "You compare the bids of different auctions: those of one auction stand in a row, axis -1.",
    ),
)


_robust = Formula(
    "rewards ratios model_taken model_policy",
    error=lambda c: c.rewards - c.model_taken,
    correction=lambda c: c.ratios * c.error,
    each=lambda c: c.model_policy + c.correction,
    answer=lambda c: c.each.mean(),
)


def _correcting(*lines):
    return [_robust.but(correction=line) for line in lines]


def _draw_log(rng):
    days = rng.integers(3, 8)
    ratios = torch.tensor(rng.choice([0.0, 0.0, 1.5, 2.0, 5.0], days), dtype=torch.float32)
    ratios[0] = 2.0
    return _robust.case(numbers(rng, days), ratios, *numbers(rng, 2, days))


WHERE_ERRORS = "the ratio weighs the model's error on the action taken, rewards - model_taken"

doubly_robust = Check(
    "16.2",
    solution=_robust,
    example=_robust.case([1.0, 0.5, 3.0], [0.0, 4.0, 2.0], [2.0, 0.0, 1.0], [0.5, 1.5, 1.0]),
    edges=[
        _robust.case([2.0], [3.0], [1.0], [5.0]),
        _robust.case([1.0, 2.0], [0.0, 0.0], [4.0, 8.0], [16.0, 32.0]),
        _robust.case([1.0, 2.0, 4.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]),
        _robust.case([0.5] * 9, [0.0, 2.0, 7.0] * 3, [1.0, -2.0, 3.0] * 3, [4.0] * 9),
    ],
    draw=_draw_log,
    mistakes=_of_days(_robust)
    + pairs(
        _robust.but(each=lambda c: c.ratios * c.rewards),
        "That is inverse propensity weighting alone: the model is never used.",
        _robust.but(each=lambda c: c.model_policy),
        "That is the model's word alone: add the weighted errors that it makes in the log.",
        _robust.but(each=lambda c: c.correction),
        "You give the weighted errors alone: add model_policy, what they correct.",
        _correcting(lambda c: c.error),
        f"The ratios are never used: {WHERE_ERRORS}.",
        _correcting(lambda c: c.ratios * c.rewards),
        f"You add the whole reward, so that it counts twice: {WHERE_ERRORS}.",
        _correcting(lambda c: c.ratios * c.rewards - c.model_taken),
        f"A bracket is missing: {WHERE_ERRORS}.",
        _robust.but(each=lambda c: c.ratios * (c.model_policy + c.error)),
        f"The ratio weighs the model's word as well: {WHERE_ERRORS}, and nothing else.",
        [
            _robust.but(error=lambda c: c.rewards - c.model_policy),
            _robust.but(error=lambda c: c.model_policy - c.rewards),
        ],
        f"You compare the reward with model_policy, an average over actions: {WHERE_ERRORS}.",
        _robust.but(each=lambda c: c.model_taken + c.ratios * (c.rewards - c.model_policy)),
        "model_taken and model_policy are swapped.",
        _robust.but(each=lambda c: c.model_taken + c.correction),
        "model_taken is the model's word on what was done: begin with model_policy.",
        [
            _robust.then(error=torch.neg),
            _robust.but(each=lambda c: c.model_policy - c.correction),
        ],
        "The sign of the error is turned: where the reward exceeds the model, add.",
        _robust.but(each=lambda c: torch.where(c.ratios > 0, c.ratios * c.rewards, c.model_policy)),
        "You mix days: the model's word stands on each day, and each error is weighed and added to it.",
        _correcting(lambda c: torch.where(c.ratios > 0, c.error / c.ratios.clamp(min=1e-6), 0)),
        "You divide by the ratio: multiply by it.",
        _correcting(lambda c: (c.ratios > 0) * c.error),
        "You count each matching day once: a day counts as often as its ratio says.",
        _robust.but(
            answer=lambda c: (
                c.model_policy.mean() + c.correction.sum() / c.ratios.sum().clamp(min=1e-6)
            )
        ),
        "You divide by the sum of the ratios, the self-normalised form: here take the plain mean.",
        _robust.but(answer=lambda c: c.each.sum() / c.ratios.sum().clamp(min=1e-6)),
        "You divide all by the sum of the ratios: here take the plain mean over the days.",
    ),
)


_slope = Formula(
    "drawn posted revenues mean spread",
    off=lambda c: c.drawn - c.mean,
    score=lambda c: c.off / c.spread**2,
    better=lambda c: c.revenues - c.revenues.mean(),
    each=lambda c: c.better * c.score,
    answer=lambda c: c.each.mean(),
)


def _draw_days(rng):
    drawn = numbers(rng, rng.integers(3, 8), low=-0.4, high=1.4)
    drawn[0] = 1.3
    revenues = numbers(rng, len(drawn), low=0, high=1)
    mean, spread = round(rng.uniform(0.2, 0.8), 1), round(rng.uniform(0.2, 0.6), 1)
    return _slope.case(drawn, drawn.clamp(0, 1), revenues, mean, spread)


DRAWN = "the policy drew `drawn`, and it is the probability of that which depends on the mean"

repaired_slope = Check(
    "16.3",
    solution=_slope,
    example=_slope.case([0.5, 1.5, 0.75], [0.5, 1.0, 0.75], [0.5, 0.0, 0.75], 0.75, 0.5),
    edges=[
        _slope.case([0.25, 0.75], [0.25, 0.75], [0.5, 0.25], 0.5, 0.25),
        _slope.case([-0.5, 1.25, 0.5], [0.0, 1.0, 0.5], [0.375, 0.0, 0.5], 1.0, 1.0),
        _slope.case([1.5, 2.0, 0.5, 0.25], [1.0, 1.0, 0.5, 0.25], [0.0, 0.0, 0.5, 0.25], 1.0, 0.5),
    ],
    draw=_draw_days,
    mistakes=_of_days(_slope)
    + pairs(
        [
            _slope.but(off=lambda c: c.posted - c.mean),
            _slope.but(off=lambda c: c.drawn.clamp(0, 1) - c.mean),
        ],
        f"The bug is still there: {DRAWN}.",
        [
            _slope.but(each=lambda c: (c.drawn == c.posted) * c.better * c.score),
            _slope.but(answer=lambda c: c.each[c.drawn == c.posted].mean()),
        ],
        f"You drop the days whose price was clipped: they were days as well, and {DRAWN}.",
        _slope.but(answer=lambda c: c.each.sum() / (len(c.each) - 1)),
        "You divide by N - 1, as in section 2. It isn't the bug: keep the plain mean, over N.",
        _slope.then(score=torch.neg),
        "The sign is turned: a price above the mean has a positive score.",
        _slope.but(score=lambda c: c.off / c.spread),
        "Divide by the square of the spread: that is the slope of the logarithm of the density.",
        _slope.but(score=lambda c: c.off),
        "The division by the square of the spread is lost.",
        _slope.but(better=lambda c: c.revenues),
        "You have left out the baseline: it was right.",
        _slope.but(off=lambda c: c.drawn - c.posted),
        f"You measure from the posted price: measure from the mean, as {DRAWN}.",
    ),
)
