"""What does a step cost as agents, environments and actors grow, and where does the time go?

    python tests/benchmarks/scale.py [--quick]

CartPole-v1 with training.CARTPOLE, one thread. A row is one size: after one update that warms up,
the median over --updates updates, and their range. An agent-step is one step of one environment of
one agent. The shares come from timers around the vector environment's step, the actor's choice of
actions and a2c_update (the timers' own cost, below a tenth of a millisecond an update, is in the
rest, with the record of the steps, the noise and the snapshots). The floor is the same environment
stepped by random actions and nothing else.

Then whole runs of one agent and of eight side by side, in turn. The course's environments, as many
as --most-envs at a time, stepped by random actions: in vectorised form, and one after another as
Gymnasium's SyncVectorEnv steps its own. Last, steps a second of actors as lesson 14's, each in a
process of its own, and of one in this process.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from unittest.mock import patch

import gymnasium
import measure
import torch

from helpers import engine, rollout, training
from helpers.networks import Actor
from helpers.training import CARTPOLE, a2c

OPTIONS = [
    ("most-agents", 64, "sizes are 1, 2, 4 ... agents with 32 environments each"),
    ("most-envs", 256, "sizes are 1, 2, 4 ... environments of one agent"),
    ("updates", 20, "updates for each size; as many repetitions of what isn't trained"),
    ("runs", 5, "whole runs of one agent, and of eight"),
    ("steps", CARTPOLE["total_steps"], "environment steps of an agent in a whole run"),
]
QUICK = {"most_agents": 8, "most_envs": 32, "updates": 5, "runs": 2}
STEPS = CARTPOLE["rollout_steps"]
WORLDS = "MountainCar-v0", "Acrobot-v1", "Pendulum-v1", "Sale-v0", "Robots-v0"  # course/...
CALLS = 20  # of an actor, in a repetition


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


def floor(envs, updates):
    """Seconds of as many environment steps as an update takes, with random actions."""
    envs.reset(seed=0)
    envs.action_space.seed(0)
    actions = [envs.action_space.sample() for _ in range(STEPS)]

    def play():
        for action in actions:
            envs.step(action)

    return measure.repeat(play, updates)


def row(agents, envs, updates):
    print(f"{agents} x {envs} ...", flush=True)
    seconds, shares = cost(agents, envs, updates)
    lowest = floor(rollout.make_envs("CartPole-v1", agents * envs), updates)
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


def world(name, count, repetitions):
    """A row: CPU us of a step, vectorised and, where it has single ones, one after another."""
    name, scale, costs = f"course/{name}", 1e6 / (count * STEPS), []
    for mode in ["vector_entry_point", "sync"][: 1 + bool(gymnasium.spec(name).entry_point)]:
        envs = gymnasium.make_vec(name, count, vectorization_mode=mode)
        costs.append([scale * s.cpu for s in floor(envs, repetitions)])
    times = [f"{measure.median(costs[-1]) / measure.median(costs[0]):.1f}"] * (len(costs) - 1)
    return ([name, *map(measure.spread, costs), *times] + 2 * ["-"])[:4]


def make(number, life):
    """An actor: 64 steps of 8 CartPoles with the weights that it is given, as in lesson 14."""
    generator, envs = torch.Generator().manual_seed(number), rollout.make_envs("CartPole-v1", 8)
    actor = Actor(4, 2, hidden=(16,), agents=1, generator=generator)
    rollouts = rollout.collect(envs, actor, steps=64, seed=number, generator=generator)

    def act(weights):
        actor.load_state_dict(weights)
        return next(rollouts)

    return act


def rates(acts, repetitions):
    """Steps a second of wall time, of actors that are called at the same time."""
    weights = Actor(4, 2, hidden=(16,), agents=1).state_dict()
    with ThreadPoolExecutor(len(acts)) as threads:
        play = partial(threads.map, lambda act: [act(weights) for _ in range(CALLS)], acts)
        seconds = measure.repeat(lambda: [*play()], repetitions)
    return [len(acts) * CALLS * 64 * 8 / s.wall for s in seconds]


def acting(repetitions):
    """Rows: steps a second of one actor in this process, and of 1, 2, 4 in their own."""
    found = {"in this process": rates([make(0, 0)], repetitions)}
    for count in (1, 2, 4):
        with engine.actors(make, count) as team:
            acts = [lambda weights, one=one: one.call(weights).result() for one in team]
            found[f"{count} in their own"] = rates(acts, repetitions)
    middle = [*map(measure.median, found.values())]
    times = [f"{each / middle[0]:.2f}" for each in middle]
    return [
        [name, measure.spread(each, 0), time] for (name, each), time in zip(found.items(), times)
    ]


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
    even = options.most_envs + options.most_envs % 2  # two robots are a team
    rows = [world(name, even, options.updates) for name in WORLDS]
    head = ["CPU us of a step", "vectorised", "one after another", "times"]
    measure.table(f"{even} environments, random actions", head, rows)
    head = ["", "steps a second, wall", "times the first"]
    measure.table("Actors", head, acting(options.updates))
    ratio = measure.median([s.cpu for s in eight]) / measure.median([s.cpu for s in one])
    measure.print_bars(("CPU of eight side by side over one", ratio, 2.5, " times"))


if __name__ == "__main__":
    main()
