"""How many CartPole agents do A2C and PPO solve, at what cost, and how do other programs compare?

    python tests/benchmarks/solve.py [--quick]

Six programs learn CartPole-v1 in one thread, one after another: A2C with training.CARTPOLE, eight
agents side by side and one alone; PPO with training.PPO_CARTPOLE, eight side by side; the A2C and
PPO of Stable-Baselines3 with the settings that RL Baselines3 Zoo has for this environment; the
one-step agent of lesson 03, cut off after a while. Then PPO (training.PPO_PENDULUM) and the SAC of
lesson 10 learn Pendulum-v1, and Stable-Baselines3's two for as many steps. The seeds, from 5000 on,
were not used for choosing settings.

Solved: the final agent plays 100 fresh episodes, actions sampled, with a mean return of at least
475. First touch: the same, looked at each --check-every environment steps until it succeeds. On
Pendulum the 100 episodes are played by the mean action, and there is no goal. The same code
evaluates all programs. Seconds include making networks and environments, but neither
evaluation nor a short run beforehand that warms up. Agents side by side share the CPU seconds of
their batch equally; its wall seconds are given whole.
"""

import functools
import math
import statistics
from types import SimpleNamespace
from typing import NamedTuple

import gymnasium
import measure
import torch
from lesson_cells import Lesson

from helpers.networks import Actor
from helpers.training import CARTPOLE, PPO_CARTPOLE, PPO_PENDULUM, a2c, evaluate, ppo

try:
    import stable_baselines3
    from stable_baselines3.common.env_util import make_vec_env
except ImportError:
    stable_baselines3 = None

GOAL = 475
BALANCE, SWING_UP = "CartPole-v1", "course/Pendulum-v1"
OTHERS = "Stable-Baselines3"
SWING_UP_STEPS = {"PPO": PPO_PENDULUM["total_steps"], "SAC": 10_000}  # of ours, and so of theirs
# In hyperparams/{a2c,ppo,sac}.yml of https://github.com/DLR-RM/rl-baselines3-zoo: (environments,
# steps, settings); all with MlpPolicy, what is not named as the library has it.
LINEAR = {"learning_rate": lambda left: 0.001 * left, "clip_range": lambda left: 0.2 * left}
PPO = {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gamma": 0.98, "gae_lambda": 0.8}
SDE = {"use_sde": True, "sde_sample_freq": 4}
ZOO = {
    ("A2C", BALANCE): (8, 500_000, {"ent_coef": 0.0}),
    ("PPO", BALANCE): (8, 100_000, {"ent_coef": 0.0, **PPO, **LINEAR}),
    ("PPO", SWING_UP): (  # the zoo has 100,000 steps
        4,
        SWING_UP_STEPS["PPO"],
        {"n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3, **SDE},
    ),
    ("SAC", SWING_UP): (1, SWING_UP_STEPS["SAC"], {"learning_rate": 1e-3}),  # the zoo has 20,000
}
# https://docs.cleanrl.dev/rl-algorithms/ppo/: the mean return of the last training episodes.
CLEANRL = "CleanRL publishes 490.04 +- 6.12 for its PPO after 500,000 steps"
OPTIONS = [
    ("agents", 128, "A2C and PPO agents side by side, in all"),
    ("side-by-side", 8, "agents of a batch"),
    ("alone", 20, "A2C agents alone"),
    ("first-seed", 5000, "of the batches; the agents alone begin 100 later"),
    ("most-steps", 10**9, "environment steps after which an agent stops, if not before"),
    ("others", 6, "seeds of Stable-Baselines3's A2C and PPO"),
    ("pendulums", 16, "PPO and SAC agents that learn Pendulum-v1, of each"),
    ("other-pendulums", 3, "seeds of Stable-Baselines3's PPO and SAC there"),
    ("naive", 2, "seeds of the one-step agent"),
    ("patience", math.inf, "CPU seconds after which another program's run is cut off"),
    ("naive-patience", 45.0, "the same for the one-step agent"),
    ("check-every", 5000, "environment steps between two looks for the first touch"),
]
QUICK = {"agents": 16, "alone": 3, "others": 1, "naive": 1, "patience": 15.0, "naive_patience": 5.0}
QUICK |= {"pendulums": 8, "other_pendulums": 1}


class Run(NamedTuple):
    """What a run of K agents gave."""

    touched: list  # [K] an agent's share of the CPU seconds to its first touch, or infinity
    cpu: float  # its share of the CPU seconds of the whole run
    wall: float  # seconds of the whole run
    returns: list  # [K] mean return of the final agents
    cut: bool  # whether it was cut off


class Watch:
    """Looks for the first touch while a program trains; the clock stands still meanwhile."""

    def __init__(self, env_id, agents, seed, every, patience):
        self.touched, self.cut = [math.inf] * agents, False
        self._env_id, self._seed, self._every, self._patience = env_id, seed, every, patience
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
        options = {"seed": 1_000_000 * self._seed + steps, "greedy": self._env_id == SWING_UP}
        return evaluate(actor, self._env_id, **options).mean(1).tolist()


def sac(env_id, agents, seed, total_steps):
    """The SAC of lesson 10, which knows Pendulum-v1 alone: yields what ours reads of a Progress."""
    cells = "imports", "act", "replay-memory", "both-critics", "settings", "sac"
    train = Lesson(10).run(*cells)["sac"]
    often = {"steps": total_steps, "every": min(1000, total_steps)}
    for steps, network, *_ in train(agents, seed, **often):
        actor = Policy(lambda states, it=network: torques(it(states)[..., :1].tanh()), agents)
        yield SimpleNamespace(steps=steps, actor=actor)


def torques(means):
    """What a Gaussian actor returns that plays these means, [..., 1] from -1 to 1, as torques."""
    return torch.cat([2 * means, torch.zeros_like(means)], -1)


OURS = {
    ("A2C", BALANCE): (a2c, CARTPOLE),
    ("PPO", BALANCE): (ppo, PPO_CARTPOLE),
    ("PPO", SWING_UP): (ppo, PPO_PENDULUM),
    ("SAC", SWING_UP): (sac, {"total_steps": SWING_UP_STEPS["SAC"]}),
}


def ours(seed, watch, task, agents, most_steps):
    train, settings = OURS[task]
    settings = settings | {"total_steps": min(settings["total_steps"], most_steps)}
    for progress in train(task[1], agents=agents, seed=seed, **settings):
        if not watch(progress.steps, progress.actor):
            break
    return progress.actor


def theirs(seed, watch, task, most_steps):
    (algorithm, env_id), (count, steps, settings) = task, ZOO[task]
    envs = make_vec_env(env_id, n_envs=count, seed=seed)  # a DummyVecEnv
    make = getattr(stable_baselines3, algorithm)
    model = make("MlpPolicy", envs, seed=seed, device="cpu", **settings)

    def outputs(states):
        if algorithm == "SAC":
            return torques(model.policy.actor(states, deterministic=True))
        chosen = model.policy.get_distribution(states).distribution
        if env_id == BALANCE:
            return chosen.logits
        return torch.cat([chosen.mean, chosen.stddev.log()], -1)

    actor = Policy(outputs)
    model.learn(min(steps, most_steps), callback=lambda *_: watch(model.num_timesteps, actor))
    return actor


def naive(seed, watch):
    cells = "import matplotlib", "class Actor(", "class Critic(", "class ClassicAgent", "def play("
    defined = Lesson(3).run(*cells)
    agent = defined["ClassicAgent"](4, 2, seed=seed)
    actor = Policy(lambda states: agent.actor(states).log())
    for step in defined["play"](agent, gymnasium.make("CartPole-v1"), steps=10**9, seed=seed):
        if not watch(step, actor):
            return actor


class Policy(Actor):
    """A function from states to an actor's outputs as an Actor, for evaluate to play."""

    def __init__(self, outputs, agents=None):
        torch.nn.Module.__init__(self)  # the networks are the other program's
        self.agents, self.forward = agents, outputs


def measured(name, train, seeds, every, agents=1, patience=math.inf, env_id=BALANCE):
    """Train and judge once for each seed, after a warm-up, and say so: a list of Run."""
    train(0, Watch(env_id, agents, 0, every=500, patience=0))
    runs = []
    for seed in seeds:
        watch = Watch(env_id, agents, seed, every, patience)
        actor = train(seed, watch)
        cpu, wall = watch.clock.read()
        runs.append(Run(watch.touched, cpu / agents, wall, watch.returns(actor, 0), watch.cut))
        print(
            f"{name}, seed {seed}: mean return {measure.spread(runs[-1].returns, 0)}, "
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


def report(own, others):
    """Print tables and bars of CartPole. own, others: {name: list of Run}, of ours and not of ours."""
    head = ["median (range)", "solved at the end", "95 % interval", "worst"]
    head += ["CPU s of an agent to first touch", "... in the whole run", "wall s of the run"]
    rows = [summary(*item) for item in {**own, **others}.items() if item[1]]
    measure.table(BALANCE, head, rows)
    print(f"\n{CLEANRL}")

    rows = []
    for name, other in others.items():
        pairs = [ratio(flat(other, "touched"), flat(runs, "touched")) for runs in own.values()]
        rows.append([name, *("-" if r is None else f"{r:.1f}" for r in pairs)])
    measure.table("Ratios of medians", ["its CPU s to first touch, over that of", *own], rows)

    a2c_touch, ppo_touch = (
        flat(others.get(f"{OTHERS} {name}", []), "touched") for name in ("A2C", "PPO")
    )
    (side, alone, clipped), (many, one, third) = own.values(), map(costs, own.values())
    quick = [run.returns[0] >= GOAL and run.wall <= 2.5 for run in alone]
    measure.print_bars(
        ("at least so many A2C agents solved", solved(side), 97, " %"),
        ("CPU of an agent side by side, whole run", measure.median(many), 0.8, " s"),
        ("... over Stable-Baselines3's A2C to first touch", ratio(many, a2c_touch), 0.1, ""),
        ("CPU of an agent alone, whole run, over the same", ratio(one, a2c_touch), 1 / 3, ""),
        ("at least so many alone solved in 2.5 s wall", 100 * sum(quick) / len(quick), 95, " %"),
        ("at least so many PPO agents solved", solved(clipped), 97, " %"),
        ("CPU of one, over Stable-Baselines3's PPO to touch", ratio(third, ppo_touch), 1 / 15, ""),
    )


def costs(runs):
    return [run.cpu for run in runs]


def solved(runs):
    """Percent of the agents."""
    returns = flat(runs, "returns")
    return 100 * sum(r >= GOAL for r in returns) / len(returns)


def report_swing_up(runs):
    """Print a table and bars of the pendulum. runs: {name: list of Run}."""
    head = ["median (range)", "steps, at most", "agents", "mean return"]
    head += ["return of an agent", "CPU s of an agent"]
    rows, bars = [], []
    means = {name: statistics.mean(flat(each, "returns")) for name, each in runs.items()}
    for name, each in runs.items():
        returns, steps = flat(each, "returns"), SWING_UP_STEPS[name.split()[-1]]
        numbers = f"{means[name]:.0f}", measure.spread(returns, 0), measure.spread(costs(each))
        rows.append([name, steps, len(returns), *numbers])
        other = f"{OTHERS} {name}"
        if other in runs:
            cost = ratio(costs(each), costs(runs[other]))
            bars.append((f"at least the mean return of {other}", means[name], means[other], ""))
            bars.append((f"CPU of a {name} agent, over that of its", cost, 0.2, ""))
    measure.table(f"{SWING_UP}, mean actions", head, rows)
    if bars:
        measure.print_bars(*bars)


def balance(options):
    """Measure all programs on CartPole: {name: list of Run}, of ours and of others."""
    first, every, most = options.first_seed, options.check_every, options.most_steps
    agents = options.side_by_side
    batches = range(first, first + math.ceil(options.agents / agents))
    singles = range(first + 100, first + 100 + options.alone)
    own, others = {}, {}
    for algorithm, count, seeds in [
        ("A2C", agents, batches),
        ("A2C", 1, singles),
        ("PPO", agents, batches),
    ]:
        name = f"{algorithm}, {'alone' if count == 1 else 'side by side'}"
        train = functools.partial(ours, task=(algorithm, BALANCE), agents=count, most_steps=most)
        own[name] = measured(name, train, seeds, every, count)
    seeds = range(first, first + options.others)
    for algorithm in ("A2C", "PPO") if stable_baselines3 else ():
        name = f"{OTHERS} {algorithm}"
        train = functools.partial(theirs, task=(algorithm, BALANCE), most_steps=most)
        others[name] = measured(name, train, seeds, every, patience=options.patience)
    name, seeds = "one-step agent of lesson 03", range(first, first + options.naive)
    patience = min(options.patience, options.naive_patience)
    others[name] = measured(name, naive, seeds, every, patience=patience)
    return own, others


def swing_up(options):
    """Measure ours and theirs on the pendulum: {name: list of Run}."""
    first, agents, runs = options.first_seed, options.side_by_side, {}
    batches = range(first, first + math.ceil(options.pendulums / agents))
    singles = range(first, first + options.other_pendulums)
    for algorithm in SWING_UP_STEPS:
        settings = {"task": (algorithm, SWING_UP), "most_steps": options.most_steps}
        train = functools.partial(ours, agents=agents, **settings)
        runs[algorithm] = measured(algorithm, train, batches, math.inf, agents, env_id=SWING_UP)
        if stable_baselines3:
            name, train = f"{OTHERS} {algorithm}", functools.partial(theirs, **settings)
            runs[name] = measured(name, train, singles, math.inf, env_id=SWING_UP)
    return runs


def main():
    options = measure.start(__doc__, OPTIONS, QUICK)
    if not stable_baselines3:
        print(
            "Stable-Baselines3 is missing (pip install stable-baselines3): no comparison with it."
        )
    balanced, swung_up = balance(options), swing_up(options)
    report(*balanced)
    report_swing_up(swung_up)


if __name__ == "__main__":
    main()
