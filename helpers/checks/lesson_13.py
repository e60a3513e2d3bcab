"""The checks of lesson 13: a joint value, a central critic's input, a team's TD error."""

import torch

from helpers.checks.core import Check, numbers
from helpers.checks.slips import Formula, of_td_error, pairs

PLAYERS = "first", "second"
BOTH_DRAW = "Both draw: weigh each payoff by first[a] times second[b], and add up."

_joint = Formula(
    "payoffs first second",
    pair=lambda c: c.first[:, None] * c.second,
    each=lambda c: c.pair * c.payoffs,
    answer=lambda c: c.each.sum(),
)


def _joints(*answers):
    return [_joint.but(answer=answer) for answer in answers]


def _policy(rng, count):
    """Probabilities with one decimal."""
    return torch.tensor(rng.multinomial(10, [1 / count] * count) / 10, dtype=torch.float32)


def _draw_joint(rng):
    a, b = rng.integers(2, 5, size=2)
    return _joint.case(numbers(rng, a, b), _policy(rng, a), _policy(rng, b))


def _surest(policy):
    return torch.zeros_like(policy).scatter(0, policy.argmax(0, keepdim=True), 1)


def _even(policy):
    return torch.full_like(policy, 1 / len(policy))


joint_value = Check(
    "13.1",
    solution=_joint,
    example=_joint.case([[5.0, -2.0], [1.0, 3.0]], [0.8, 0.2], [0.4, 0.6]),
    edges=[
        _joint.case([[3.0]], [1.0], [1.0]),
        _joint.case([[1.0, 2.0, 4.0], [8.0, -16.0, 32.0]], [0.0, 1.0], [0.5, 0.5, 0.0]),
        _joint.case([[5.0, -1.0]] * 6, [0.5, 0.1, 0.1, 0.1, 0.1, 0.1], [0.2, 0.8]),
    ],
    draw=_draw_joint,
    mistakes=pairs(
        _joints(lambda c: c.second @ c.payoffs @ c.first),
        "The payoffs are transposed: the first player picks the row, the second the column.",
        _joint.but(pair=lambda c: c.first * c.second),
        "first belongs to the rows and second to the columns: first[:, None] * second.",
        [_joint.then(**dict.fromkeys(who, _surest)) for who in (PLAYERS, PLAYERS[:1], PLAYERS[1:])],
        "You let a player do what is likeliest: a policy draws, so weigh all of its actions.",
        _joint.then(first=_even, second=_even),
        f"You take a plain mean of the payoffs. {BOTH_DRAW}",
        [_joint.then(**{name: how}) for name in PLAYERS for how in (_even, torch.ones_like)],
        f"One of the two policies is never used. {BOTH_DRAW}",
        [_joint.but(second=lambda c: c.first), _joint.but(first=lambda c: c.second)],
        "You use one player's policy for both: each draws from its own.",
        _joints(lambda c: c.first @ c.payoffs, lambda c: c.payoffs @ c.second),
        "That is a payoff for each action of one player: it draws too, so weigh them.",
        _joints(lambda c: (c.first @ c.payoffs).max(), lambda c: (c.payoffs @ c.second).max()),
        "You let one player choose its best reply: it draws from its policy, like the other.",
        _joints(lambda c: c.each, lambda c: c.each.sum(0), lambda c: c.each.sum(1)),
        "One number is wanted: add up over the actions of both.",
        _joints(*(lambda c, axes=axes: c.each.mean(axes).sum() for axes in (0, 1, (0, 1)))),
        "Add up, take no mean: the probabilities have weighed the payoffs already.",
        _joint.then(first=lambda p: p.softmax(0), second=lambda p: p.softmax(0)),
        "You take a softmax of the policies: they are probabilities already.",
        _joint.but(pair=lambda c: c.first[:, None] + c.second),
        "They draw independently: multiply their probabilities, do not add them.",
    ),
)


def _in_order(x):
    """What all robots see, in their order, for each: [..., N, F] to [..., N, N, F]."""
    return x.unsqueeze(-3).expand(*x.shape[:-2], x.shape[-2], -1, -1)


def _others(x):
    """What all others see, in their order, for each: [..., N, F] to [..., N, N - 1, F]."""
    count = x.shape[-2]
    other = ~torch.eye(count, dtype=torch.bool)
    return _in_order(x)[..., other, :].unflatten(-2, (count, count - 1))


def _round(*, axis, sign=-1):
    """Each, and then the next along an axis, as many as there are robots."""
    return _seen.but(
        rows=lambda c: torch.stack(
            [c.observations.roll(sign * k, axis) for k in range(c.observations.shape[2])], -2
        )
    )


def _swapped(x):
    """Each first, in exchange with robot 0."""
    rows = _in_order(x).clone()
    each = range(x.shape[-2])
    rows[..., each, each, :] = x[..., :1, :]
    rows[..., 0, :] = x
    return rows


_seen = Formula(
    "observations",
    own=lambda c: c.observations.unsqueeze(-2),
    others=lambda c: _others(c.observations),
    rows=lambda c: torch.cat([c.own, c.others], -2),
    answer=lambda c: c.rows.flatten(-2),
)
OWN_TEAM = "A critic sees its own team, at one time"

critic_input = Check(
    "13.2",
    solution=_seen,
    example=_seen.case([[[[1.0], [2.0]], [[3.0], [4.0]]]]),
    edges=[
        _seen.case(torch.arange(24.0).reshape(2, 2, 3, 2)),
        _seen.case(torch.arange(48.0).reshape(2, 3, 4, 2)),
        _seen.case(torch.arange(54.0).reshape(3, 3, 3, 2)),
        _seen.case(torch.arange(6.0).reshape(1, 1, 2, 3)),
    ],
    draw=lambda rng: _seen.case(
        numbers(rng, *rng.integers(1, 4, size=2), rng.integers(2, 5), rng.integers(1, 4))
    ),
    mistakes=pairs(
        _seen.but(rows=lambda c: _in_order(c.observations)),
        "Each critic has its own robot's observation first: yours all read them in one order.",
        _seen.but(rows=lambda c: torch.cat([c.others, c.own], -2)),
        "The own observation comes first, the others after it.",
        _seen.but(rows=lambda c: c.others),
        "The robot's own observation is missing: it comes first.",
        _seen.but(rows=lambda c: torch.cat([c.own, _in_order(c.observations)], -2)),
        "The robot's own observation stands there twice: after it come the others alone.",
        [_round(axis=2), _round(axis=2, sign=1)],
        "The others stand in their order, 0 before 2: you count round from the robot itself.",
        _seen.but(rows=lambda c: _swapped(c.observations)),
        "The others stand in their order, 0 first: you put robot 0 where the own one was.",
        [_round(axis=axis, sign=sign) for axis in (0, 1) for sign in (-1, 1)],
        f"{OWN_TEAM}: the robots are axis 2, behind times and teams.",
        [
            _seen.then(answer=lambda x, to=to, shape=shape: shape(x.movedim(2, to), x))
            for to in (0, 1)
            for shape in (lambda x, as_: x, torch.Tensor.reshape_as)
        ],
        f"{OWN_TEAM}: stack the robots along axis 2. reshape() does not move an axis.",
        _seen.then(rows=lambda x: x.transpose(-1, -2)),
        "Robot by robot, each with its features together: you flatten them the other way round.",
        _seen.but(rows=lambda c: c.own.expand(*c.own.shape[:3], c.own.shape[2], -1)),
        "You repeat the robot's own observation: the others' belong in the other places.",
        [
            _seen.then(others=lambda x: x.mean(-2, keepdim=True)),
            _seen.then(others=lambda x: x.sum(-2, keepdim=True)),
        ],
        "You make one of all the others: the critic reads each of them.",
        _seen.then(others=lambda x: x[..., :1, :]),
        "One other robot is there: with three in a team, two are.",
        _seen.but(answer=lambda c: c.observations),
        "That is what each robot sees itself: the critic also sees what the others see.",
        _seen.but(answer=lambda c: c.observations.flatten(-2)),
        "A row for each robot is wanted, [T, B, N, N * F]: yours is one for the team.",
        _seen.but(answer=lambda c: c.rows),
        "Flatten the last two axes: a critic reads N * F numbers in a row.",
    ),
)

_team = Formula(
    "rewards values next_values ended gamma",
    value=lambda c: c.values,
    next_value=lambda c: c.next_values,
    goes_on=lambda c: (~c.ended).float(),
    reward=lambda c: c.rewards[..., 0],
    answer=lambda c: c.reward + c.gamma * c.next_value * c.goes_on - c.value,
)
_summed = _team.but(reward=lambda c: c.rewards.sum(-1))


def _paid(rewards, robots, *others):
    """A case: each robot is paid the team's reward, [T, B]."""
    return _team.case(torch.as_tensor(rewards)[..., None].repeat(1, 1, robots), *others)


def _draw_steps(rng):
    shape = rng.integers(1, 5), rng.integers(1, 4)
    rewards, values, next_values = (numbers(rng, *shape) for _ in range(3))
    ended = torch.tensor(rng.random(shape) < 0.3)
    gamma = round(rng.uniform(0.5, 0.95), 2)
    return _paid(rewards, rng.integers(2, 4), values, next_values, ended, gamma)


def _rewards(*makes):
    """With other rewards, made of those of all robots."""
    return [_team.but(reward=lambda c, make=make: make(c.rewards)) for make in makes]


repaired_team_reward = Check(
    "13.3",
    solution=_team,
    example=_paid([[1.0], [2.0]], 2, [[4.0], [3.0]], [[3.0], [5.0]], [[False], [True]], 0.5),
    edges=[
        _paid([[3.0, -1.0]], 3, [[1.0, 2.0]], [[5.0, -4.0]], [[False, False]], 1.0),
        _paid([[1.0]], 2, [[2.0]], [[5.0]], [[True]], 0.0),
        _paid([[2.0, 1.0, 4.0]] * 3, 3, [[1.0] * 3] * 3, [[-2.0] * 3] * 3, [[False] * 3] * 3, 0.9),
    ],
    draw=_draw_steps,
    mistakes=pairs(
        _summed,
        "The bug is still there: added up over the robots, the team's one reward counts N times.",
        _summed.then(rewards=lambda x: x / 2),
        "That fits a team of two: a team may have three robots.",
        _summed.but(
            value=lambda c: c.rewards.shape[-1] * c.values,
            next_value=lambda c: c.rewards.shape[-1] * c.next_values,
        ),
        "Now all of it counts N times: leave the values alone, and count the reward once.",
        _summed.but(answer=lambda c: _team.lines["answer"](c) / c.rewards.shape[-1]),
        "You divide the whole error: the values are the team's already. Count the reward once.",
        _rewards(lambda x: x[..., 0] / x.shape[-1]),
        "The reward is not shared out: the team's critic learns from all of it, once.",
        _rewards(
            *(torch.Tensor.mean, torch.Tensor.sum, lambda x: x[0], lambda x: x[:, 0]),
            *(lambda x, axis=axis: x.mean(axis) for axis in (0, 1)),
            *(lambda x, axis=axis: x.sum(axis) for axis in (0, 1)),
        ),
        "The robots are the last axis: each time and team has a reward of its own.",
        _team.but(
            answer=lambda c: c.rewards + (c.gamma * c.next_value * c.goes_on - c.value)[..., None]
        ),
        "One number for each time and team is wanted: the team has one critic.",
    )
    + of_td_error(_team),
)
