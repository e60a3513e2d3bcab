"""How many CartPole agents does A2C solve, at what cost, and how do other programs compare?

    python tests/benchmarks/solve.py [--quick]

Five programs learn CartPole-v1 in one thread, one after another: A2C with training.CARTPOLE, eight
agents side by side and one alone; the A2C and PPO of Stable-Baselines3 with the settings that RL
Baselines3 Zoo has for this environment; the one-step agent of lesson 03, cut off after a while. The
seeds, from 5000 on, were not used for choosing settings.

Solved: the final agent plays 100 fresh episodes, actions sampled, with a mean return of at least
475. First touch: the same, looked at each --check-every environment steps until it succeeds. The
same code evaluates all programs. Seconds include making networks and environments, but neither
evaluation nor a short run beforehand that warms up. Agents side by side share the CPU seconds of
their batch equally; its wall seconds are given whole.
"""

import functools
import math
import re
from typing import NamedTuple

import gymnasium
import measure
import nbformat
import torch

from helpers.networks import Actor
from helpers.training import CARTPOLE, a2c, evaluate

try:
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
except ImportError:
    stable_baselines3 = None

GOAL = 475
# Of CartPole-v1 in hyperparams/a2c.yml and ppo.yml of https://github.com/DLR-RM/rl-baselines3-zoo:
# (steps, settings); both with 8 environments and MlpPolicy, what is not named as the library has it.
LINEAR = {"learning_rate": lambda left: 0.001 * left, "clip_range": lambda left: 0.2 * left}
PPO = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8}
ZOO = {
    "A2C": (500_000, {"ent_coef": 0.0}),
    "PPO": (100_000, {"ent_coef": 0.0, **PPO, **LINEAR}),
}
OPTIONS = [
    ("agents", 128, "A2C agents side by side, in all"),
    ("side-by-side", 8, "agents of a batch"),
    ("alone", 20, "A2C agents alone"),
    ("first-seed", 5000, "of the batches; the agents alone begin 100 later"),
    ("steps", CARTPOLE["total_steps"], "environment steps of an A2C agent"),
    ("others", 6, "seeds of Stable-Baselines3's A2C and PPO"),
    ("naive", 2, "seeds of the one-step agent"),
    ("patience", math.inf, "CPU seconds after which another program's run is cut off"),
    ("naive-patience", 45.0, "the same for the one-step agent"),
    ("check-every", 5000, "environment steps between two looks for the first touch"),
]
QUICK = {"agents": 16, "alone": 3, "others": 1, "naive": 1, "patience": 15.0, "naive_patience": 5.0}


class Run(NamedTuple):
    """What a run of K agents gave."""

    touched: list  # [K] an agent's share of the CPU seconds to its first touch, or infinity
    cpu: float  # its share of the CPU seconds of the whole run
    wall: float  # seconds of the whole run
    returns: list  # [K] mean return of the final agents
    cut: bool  # whether it was cut off


class Watch:
    """Looks for the first touch while a program trains; the clock stands still meanwhile."""

    def __init__(self, agents, seed, every, patience):
        self.touched, self.cut = [math.inf] * agents, False
        self._seed, self._every, self._patience = seed, every, patience
        self._next = every
        self.clock = measure.Clock()

    def __call__(self, steps, actor):
        """Look, if it is time to; returns whether to go on."""
        if steps < self._next:
            return True
        self._next += self._every * (1 + (steps - self._next) // self._every)
        if math.inf in self.touched:
            with self.clock.paused():
                returns = self.returns(actor, steps)
            share = self.clock.read().cpu / len(returns)
            self.touched = [
                share if r >= GOAL and t == math.inf else t for r, t in zip(returns, self.touched)
            ]
        self.cut = self.clock.read().cpu > self._patience
        return not self.cut

    def returns(self, actor, steps):
        """The mean return of each agent in 100 fresh episodes."""
        seed = 1_000_000 * self._seed + steps
        return evaluate(actor, "CartPole-v1", seed=seed).mean(1).tolist()


def ours(seed, watch, agents, steps):
    settings = {**CARTPOLE, "total_steps": steps}
    for progress in a2c("CartPole-v1", agents=agents, seed=seed, **settings):
        if not watch(progress.steps, progress.actor):
            break
    return progress.actor


def theirs(seed, watch, algorithm):
    steps, settings = ZOO[algorithm]
    envs = make_vec_env("CartPole-v1", n_envs=8, seed=seed)  # a DummyVecEnv
    make = getattr(stable_baselines3, algorithm)
    model = make("MlpPolicy", envs, seed=seed, device="cpu", **settings)
    actor = Policy(lambda states: model.policy.get_distribution(states).distribution.logits)
    model.learn(steps, callback=lambda *_: watch(model.num_timesteps, actor))
    return actor


def naive(seed, watch):
    ClassicAgent, play = lesson_03()
    agent = ClassicAgent(4, 2, seed=seed)
    actor = Policy(lambda states: agent.actor(states).log())
    for step in play(agent, gymnasium.make("CartPole-v1"), steps=10**9, seed=seed):
        if not watch(step, actor):
            return actor


class Policy(Actor):
    """A function from states to logits as an Actor, for evaluate to play."""

    def __init__(self, logits):
        torch.nn.Module.__init__(self)  # the networks are the other program's
        self.agents, self.forward = None, logits


@functools.cache
def lesson_03():
    """ClassicAgent and play, by executing the cells of lesson 03 that define them."""
    [path] = measure.LESSONS.glob("03_*.ipynb")
    space = {"torch": torch, "nn": torch.nn}
    for cell in nbformat.read(path, as_version=4).cells:
        if re.match(r"class (Actor|Critic|ClassicAgent)\b|def play\b", cell.source):
            exec(cell.source, space)
    return space["ClassicAgent"], space["play"]


def measured(name, train, seeds, every, agents=1, patience=math.inf):
    """Train and judge once for each seed, after a warm-up, and say so: a list of Run."""
    train(0, Watch(agents, 0, every=500, patience=0))
    runs = []
    for seed in seeds:
        watch = Watch(agents, seed, every, patience)
        actor = train(seed, watch)
        cpu, wall = watch.clock.read()
        runs.append(Run(watch.touched, cpu / agents, wall, watch.returns(actor, 0), watch.cut))
        print(
            f"{name}, seed {seed}: {sum(r >= GOAL for r in runs[-1].returns)} of {agents} solved, "
            f"CPU {cpu:.2f} s, wall {wall:.2f} s{', cut off' if watch.cut else ''}",
            flush=True,
        )
    return runs


def flat(runs, field):
    return [x for run in runs for x in getattr(run, field)]


def wilson(good, count):
    """95 % interval for a probability, after `good` successes in `count` trials."""
    z, p = 1.96, good / count
    middle, scale = p + z**2 / (2 * count), 1 + z**2 / count
    half = z * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return max(0.0, middle - half) / scale, min(scale, middle + half) / scale


def summary(name, runs):
    """A row of the table of results."""
    returns, cut = flat(runs, "returns"), sum(run.cut for run in runs)
    good = sum(r >= GOAL for r in returns)
    return [
        name,
        f"{good} of {len(returns)}" + (f", {cut} cut off" if cut else ""),
        "{:.0%} to {:.0%}".format(*wilson(good, len(returns))),
        f"{min(returns):.0f}",
        measure.spread(flat(runs, "touched")),
        measure.spread([run.cpu for run in runs]),
        measure.spread([run.wall for run in runs]),
    ]


def ratio(above, below):
    """The ratio of medians, or None where one is not known or is that of a goal never reached."""
    above, below = measure.median(above), measure.median(below)
    return above / below if math.isfinite(above) and math.isfinite(below) else None


def report(side, alone, others):
    """Print tables and bars. side and alone: lists of Run of A2C; others: of each other program."""
    head = ["median (range)", "solved at the end", "95 % interval", "worst"]
    head += ["CPU s of an agent to first touch", "... in the whole run", "wall s of the run"]
    runs = {"A2C, side by side": side, "A2C, alone": alone, **others}
    measure.table("CartPole-v1", head, [summary(*item) for item in runs.items() if item[1]])

    rows = []
    for name, other in others.items():
        pairs = [ratio(flat(other, "touched"), flat(own, "touched")) for own in (alone, side)]
        rows.append([name, *("-" if r is None else f"{r:.1f}" for r in pairs)])
    head = ["its CPU s to first touch, over A2C's", "A2C alone", "A2C side by side"]
    measure.table("Ratios of medians", head, rows)

    returns = flat(side, "returns")
    quick = [run.returns[0] >= GOAL and run.wall <= 2.5 for run in alone]
    touches = flat(others.get("Stable-Baselines3 A2C", []), "touched")
    many, one = ([run.cpu for run in runs] for runs in (side, alone))
    solved = 100 * sum(r >= GOAL for r in returns) / len(returns)
    measure.print_bars(
        (f"at least so many of {len(returns)} solved", solved, 97, " %"),
        ("CPU of an agent side by side, whole run", measure.median(many), 0.8, " s"),
        ("... over Stable-Baselines3's A2C to first touch", ratio(many, touches), 0.1, ""),
        ("CPU of an agent alone, whole run, over the same", ratio(one, touches), 1 / 3, ""),
        ("at least so many alone solved in 2.5 s wall", 100 * sum(quick) / len(quick), 95, " %"),
    )


def main():
    options = measure.start(__doc__, OPTIONS, QUICK)
    agents, first, every = options.side_by_side, options.first_seed, options.check_every
    batches = range(first, first + math.ceil(options.agents / agents))
    singles = range(first + 100, first + 100 + options.alone)
    seeds = range(first, first + options.others)

    train = functools.partial(ours, agents=agents, steps=options.steps)
    side = measured(f"A2C, {agents} side by side", train, batches, every, agents)
    train = functools.partial(ours, agents=1, steps=options.steps)
    alone = measured("A2C, alone", train, singles, every)
    others = {}
    if stable_baselines3:
        for algorithm in ZOO:
            name, train = (
                f"Stable-Baselines3 {algorithm}",
                functools.partial(theirs, algorithm=algorithm),
            )
            others[name] = measured(name, train, seeds, every, patience=options.patience)
    else:
        print(
            "Stable-Baselines3 is missing (pip install stable-baselines3): no comparison with it."
        )
    name, seeds = "one-step agent of lesson 03", range(first, first + options.naive)
    patience = min(options.patience, options.naive_patience)
    others[name] = measured(name, naive, seeds, every, patience=patience)
    report(side, alone, others)


if __name__ == "__main__":
    main()
