"""What does a step of A2C cost as agents and environments grow, and where does the time go?

    python tests/benchmarks/scale.py [--quick]

CartPole-v1 with training.CARTPOLE, one thread. A row is one size: after one update that warms up,
the median over --updates updates, and their range. An agent-step is one step of one environment of
one agent. The shares come from timers around the vector environment's step, the actor's choice of
actions and a2c_update (the timers' own cost, below a tenth of a millisecond an update, is in the
rest, with the record of the steps, the noise and the snapshots). The floor is the same environment
stepped by random actions and nothing else.

Then whole runs of one agent and of eight side by side, in turn.
"""

import time
from unittest.mock import patch

import measure
import numpy as np

from helpers import rollout, training
from helpers.training import CARTPOLE, a2c

OPTIONS = [
    ("most-agents", 64, "sizes are 1, 2, 4 ... agents with 32 environments each"),
    ("most-envs", 256, "sizes are 1, 2, 4 ... environments of one agent"),
    ("updates", 20, "updates for each size"),
    ("runs", 5, "whole runs of one agent, and of eight"),
    ("steps", CARTPOLE["total_steps"], "environment steps of an agent in a whole run"),
]
QUICK = {"most_agents": 8, "most_envs": 32, "updates": 5, "runs": 2}
STEPS = CARTPOLE["rollout_steps"]


def timed(function, seconds, name):
    """The function, with the CPU seconds that it takes added to seconds[name]."""

    def call(*arguments, **options):
        begin = time.process_time()
        try:
            return function(*arguments, **options)
        finally:
            seconds[name] += time.process_time() - begin

    return call


def cost(agents, envs, updates):
    """Seconds of each of so many updates, and the share of CPU time in each part."""
    parts = dict.fromkeys(("environment", "network", "update"), 0.0)

    def make_envs(*arguments):
        vector = rollout.make_envs(*arguments)
        vector.step = timed(vector.step, parts, "environment")
        return vector

    settings = {**CARTPOLE, "envs": envs, "total_steps": (1 + updates) * envs * STEPS}
    with (
        patch.object(training, "make_envs", make_envs),
        patch.object(rollout, "_act", timed(rollout._act, parts, "network")),
        patch.object(training, "a2c_update", timed(training.a2c_update, parts, "update")),
    ):
        run = a2c("CartPole-v1", agents=agents, seed=0, **settings)
        next(run)
        parts.update(dict.fromkeys(parts, 0.0))
        seconds = measure.repeat(lambda: next(run), updates, warm_up=0)
    whole = sum(s.cpu for s in seconds)
    shares = [part / whole for part in parts.values()]
    return seconds, [*shares, 1 - sum(shares)]


def floor(count, updates):
    """Seconds of as many environment steps as an update takes, with random actions."""
    envs = rollout.make_envs("CartPole-v1", count)
    envs.reset(seed=0)
    actions = np.random.default_rng(0).integers(2, size=(STEPS, count))

    def play():
        for action in actions:
            envs.step(action)

    return measure.repeat(play, updates)


def row(agents, envs, updates):
    print(f"{agents} x {envs} ...", flush=True)
    seconds, shares = cost(agents, envs, updates)
    lowest = floor(agents * envs, updates)
    scale = 1e6 / (agents * envs * STEPS)
    cpu, wall = ([scale * s[k] for s in seconds] for k in range(2))
    least = [scale * s.cpu for s in lowest]
    return [
        f"{agents} x {envs}",
        *map(measure.spread, (cpu, wall)),
        *(f"{share:.0%}" for share in shares),
        measure.spread(least),
        f"{measure.median(cpu) / measure.median(least):.1f}",
    ]


def sizes(most):
    return [2**power for power in range(most.bit_length())]


def whole_run(agents, steps):
    for _ in a2c("CartPole-v1", agents=agents, seed=0, **{**CARTPOLE, "total_steps": steps}):
        pass


def main():
    options = measure.start(__doc__, OPTIONS, QUICK)
    head = ["agents x environments", "CPU us of an agent-step", "wall us"]
    head += ["environment", "network", "update", "rest", "floor, CPU us", "times the floor"]
    by_agents = [(agents, 32) for agents in sizes(options.most_agents)]
    by_envs = [(1, envs) for envs in sizes(options.most_envs)]
    cases = {"More agents": by_agents, "More environments": by_envs}
    tables = {
        title: [row(*size, options.updates) for size in sizes] for title, sizes in cases.items()
    }
    for title, rows in tables.items():
        measure.table(title, head, rows)

    whole_run(1, 2048)
    whole_run(8, 2048)
    one, eight = [], []
    for _ in range(options.runs):
        one += measure.repeat(lambda: whole_run(1, options.steps), 1, warm_up=0)
        eight += measure.repeat(lambda: whole_run(8, options.steps), 1, warm_up=0)
    rows = [
        [name, measure.spread([s.cpu for s in runs]), measure.spread([s.wall for s in runs])]
        for name, runs in {"one agent": one, "eight side by side": eight}.items()
    ]
    measure.table("Whole runs", ["", "CPU s", "wall s"], rows)
    ratio = measure.median([s.cpu for s in eight]) / measure.median([s.cpu for s in one])
    measure.print_bars(("CPU of eight side by side over one", ratio, 2.5, " times"))


if __name__ == "__main__":
    main()
