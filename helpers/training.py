"""The algorithms, as generators: each yields its Progress after every update and does nothing else.

To cancel, stop iterating; to pause, wait; to step, call next once. Plots, panels, tests and
benchmarks are all consumers of the same generators.
"""

import math
from contextlib import closing
from functools import partial

import torch

from helpers.errors import (
    SlipError,
    check_clip,
    check_count,
    check_fraction,
    check_not_negative,
    check_positive,
)
from helpers.loop import Progress as Progress  # what the generators yield
from helpers.loop import make_learner, run
from helpers.networks import Actor, per_agent
from helpers.rollout import collect, collect_episodes, make_envs, play_episodes
from helpers.updates import a2c_update, ppo_update, reinforce_update

_RATES = {  # an agent may have its own
    "gamma": check_fraction,
    "lam": check_fraction,
    "lr": check_positive,
    "critic_lr_scale": check_not_negative,  # at 0 the critic stays as it is
    "entropy_coef": check_not_negative,
    "clip": check_clip,
}
_SCALES = {  # one for all agents
    "value_coef": check_not_negative,
    "max_grad_norm": check_positive,
    "reward_scale": check_positive,
}

# What CartPole wants beyond a2c's textbook defaults; notebooks/04_a2c.ipynb takes it apart.
CARTPOLE = {
    "envs": 32,
    "rollout_steps": 64,
    "total_steps": 200_000,
    "lr": 0.025,
    "lr_decay": True,
    "critic_lr_scale": 2.0,
    "gamma": 0.99,
    "lam": 1.0,
    "hidden": (16,),
    "reward_scale": 0.1,
    "normalise_advantages": True,
}

# The same for ppo, on CartPole-v1 and on course/Pendulum-v1; notebooks/09_ppo.ipynb uses both.
PPO_CARTPOLE = {
    "envs": 32,
    "rollout_steps": 64,
    "total_steps": 80_000,
    "epochs": 4,
    "minibatches": 1,
    "lr": 0.02,
    "lr_decay": True,
    "critic_lr_scale": 2.0,
    "gamma": 0.99,
    "lam": 0.98,
    "hidden": (16,),
    "reward_scale": 0.1,
}
PPO_PENDULUM = {
    "envs": 16,
    "rollout_steps": 256,
    "total_steps": 60_000,
    "epochs": 10,
    "minibatches": 32,
    "lr": 2e-3,
    "lr_decay": True,
    "gamma": 0.95,
    "lam": 0.95,
    "hidden": (32, 32),
    "reward_scale": 0.1,
}


def reinforce(
    env_id,
    *,
    env_options=None,
    agents=1,
    seed=0,
    gamma=0.99,
    lr=1e-2,
    updates=100,
    envs=8,
    baseline=False,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    hidden=(64, 64),
    lr_decay=False,
    critic_lr_scale=1.0,
    reward_scale=1.0,
    normalise_advantages=False,
):
    """REINFORCE with the reward to go: a generator that yields a Progress after each update.

    Each update plays one whole episode in each of `envs` environments an agent. Without a critic
    there is nothing to bootstrap from: a time limit ends the return like any other end.
    baseline: subtract a learned V(s), a Critic fitted to the returns. Other arguments as for a2c.
    The factor gamma^t in front of the gradient is left out, as is usual; the loss is a mean over time
    steps, so its gradient is that of the expected return divided by the mean length of an episode.
    Raises SlipError, at the first step, for an argument that makes no sense.

    Williams 1992; Sutton & Barto 2018, section 13.4. Derived in notebooks/02_reinforce.ipynb.
    """
    check_count("updates", updates)
    update = partial(
        reinforce_update,
        gamma=gamma,
        reward_scale=reward_scale,
        entropy_coef=entropy_coef,
        value_coef=value_coef,
        max_grad_norm=max_grad_norm,
        normalise_advantages=normalise_advantages,
    )
    place = env_id, env_options, agents, envs, seed
    rates = {"lr": lr, "critic_lr_scale": critic_lr_scale}
    networks = {"hidden": hidden, "critic": baseline}
    loop = {"updates": updates, "lr_decay": lr_decay, "padded": True}
    yield from _train(*place, collect_episodes, update, rates=rates, networks=networks, loop=loop)


def a2c(
    env_id,
    *,
    env_options=None,
    agents=1,
    seed=0,
    gamma=0.99,
    lr=7e-4,
    total_steps=100_000,
    envs=8,
    rollout_steps=5,
    lam=1.0,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    hidden=(64, 64),
    shared_body=False,
    lr_decay=False,
    critic_lr_scale=1.0,
    reward_scale=1.0,
    normalise_advantages=False,
):
    """Advantage actor-critic (A2C): a generator that yields a Progress after each update.

    env_id: a Gymnasium environment with vector observations, and discrete actions or a bounded vector
        of numbers; env_options: a dictionary of its own keyword arguments, as {"size": 7} for
        GridWorld-v0.
    agents: K independent agents, trained side by side. seed: of everything random; at least 0.
    gamma: discount; lam: GAE's lambda; both in [0, 1].
    lr: the initial learning rate of Adam; lr_decay: let it fall linearly to 0.
    total_steps: environment steps of each agent, rounded up to whole updates; the step after an
        episode's end, which only resets, is counted as well.
    envs, rollout_steps: each update uses `rollout_steps` steps of `envs` environments an agent.
    hidden: widths of the hidden layers; shared_body: actor and critic share them.
    critic_lr_scale: the learning rate of the critic's own layers, relative to lr.
    gamma, lam, lr, critic_lr_scale, entropy_coef: a number for all agents or K numbers (list, tuple,
        array or tensor), one an agent, which then learns as it would alone with its own.
    reward_scale: rewards are multiplied by it for learning; the returns shown are not.
    Raises SlipError, at the first step, for an argument that makes no sense.

    Mnih et al. 2016 (A3C, algorithm S3), made synchronous; GAE from Schulman et al. 2016.
    Derived in notebooks/04_a2c.ipynb.
    """
    update = partial(
        a2c_update,
        gamma=gamma,
        lam=lam,
        reward_scale=reward_scale,
        entropy_coef=entropy_coef,
        value_coef=value_coef,
        max_grad_norm=max_grad_norm,
        normalise_advantages=normalise_advantages,
    )
    place = env_id, env_options, agents, envs, seed
    parts = {"total_steps": total_steps, "rollout_steps": rollout_steps, "lr_decay": lr_decay}
    rates = {"lr": lr, "critic_lr_scale": critic_lr_scale}
    networks = {"hidden": hidden, "shared_body": shared_body}
    yield from _train_in_parts(*place, update, **parts, rates=rates, networks=networks)


def ppo(
    env_id,
    *,
    env_options=None,
    agents=1,
    seed=0,
    gamma=0.99,
    lr=3e-4,
    total_steps=100_000,
    envs=8,
    rollout_steps=128,
    lam=0.95,
    clip=0.2,
    epochs=10,
    minibatches=4,
    entropy_coef=0.0,
    value_coef=0.5,
    max_grad_norm=0.5,
    hidden=(64, 64),
    shared_body=False,
    lr_decay=False,
    critic_lr_scale=1.0,
    reward_scale=1.0,
    normalise_advantages=True,
):
    """Proximal policy optimisation (PPO): a generator that yields a Progress after each update.

    As a2c, but each update makes `epochs` passes over its rollout, each in `minibatches` gradient
    steps on parts of an agent's own steps; there are at most as many parts as steps. Adam's rate
    falls, with lr_decay, from one update to the next.
    clip: epsilon, above 0 and at most 1: a ratio of new to old probability outside 1 +- clip has no
        gradient where it would grow better; one for all agents or one an agent, as gamma.
    Progress.clipped: the share of ratios outside, in the last pass of an update.
    Actions of numbers are clipped to the environment's bounds on their way to it; the ratio is that
    of the unclipped ones. Other arguments as for a2c.
    Raises SlipError, at the first step, for an argument that makes no sense.

    Schulman et al. 2017. Derived in notebooks/09_ppo.ipynb.
    """
    update = partial(
        ppo_update,
        gamma=gamma,
        lam=lam,
        clip=clip,
        epochs=epochs,
        minibatches=minibatches,
        reward_scale=reward_scale,
        entropy_coef=entropy_coef,
        value_coef=value_coef,
        max_grad_norm=max_grad_norm,
        normalise_advantages=normalise_advantages,
    )
    place = env_id, env_options, agents, envs, seed
    parts = {"total_steps": total_steps, "rollout_steps": rollout_steps, "lr_decay": lr_decay}
    rates = {"lr": lr, "critic_lr_scale": critic_lr_scale}
    networks = {"hidden": hidden, "shared_body": shared_body}
    yield from _train_in_parts(
        *place, update, **parts, rates=rates, networks=networks, shuffles=True
    )


def _train_in_parts(
    env_id, env_options, agents, envs, seed, update, *, total_steps, rollout_steps, lr_decay, **rest
):
    """As _train, on parts of episodes: `rollout_steps` steps of each environment an update."""
    check_count("total_steps", total_steps)
    check_count("envs", envs)
    check_count("rollout_steps", rollout_steps)
    act = partial(collect, steps=rollout_steps)
    loop = {"updates": math.ceil(total_steps / (envs * rollout_steps)), "lr_decay": lr_decay}
    yield from _train(env_id, env_options, agents, envs, seed, act, update, loop=loop, **rest)


def _train(
    env_id, env_options, agents, envs, seed, act, update, *, rates, networks, loop, shuffles=False
):
    """Make environments and a Learner, and run the loop; a SlipError for settings without sense.

    act(envs, actor, seed=, generator=): an iterator of Rollouts. update: a partial, so that its
    settings can be checked before anything is made. shuffles: whether it takes a generator.
    """
    check_count("agents", agents)
    check_count("seed", seed, least=0)
    check_count("envs", envs)
    for name, value in {**update.keywords, **rates}.items():
        if name in _RATES:
            per_agent(name, value, agents, _RATES[name])
        elif name in _SCALES:
            _SCALES[name](name, value)
    seed = int(seed)  # Gymnasium and PyTorch take no whole number of NumPy's
    generator = torch.Generator().manual_seed(seed)
    update = partial(update, generator=generator) if shuffles else update
    with closing(make_envs(env_id, agents * envs, env_options)) as vector:
        learner = make_learner(vector, agents=agents, generator=generator, **rates, **networks)
        rollouts = act(vector, learner.actor, seed=seed, generator=generator)
        yield from run(learner, rollouts, update, **loop)


@torch.no_grad()
def evaluate(actor, env_id, *, env_options=None, episodes=100, seed=0, greedy=False):
    """Undiscounted returns of fresh episodes, [K, episodes]; actions are sampled from the policy.

    greedy: take the likeliest action instead, or a Gaussian's mean.
    NaN for an agent whose parameters are no longer numbers. Raises SlipError for what is no Actor,
    does not fit the environment, or plays an episode without an end.
    Solved, in this course: a mean over 100 of them of at least 475 on CartPole-v1.
    """
    check_count("episodes", episodes)
    check_count("seed", seed, least=0)
    if not isinstance(actor, Actor):
        raise SlipError(f"evaluate needs an Actor, but got {type(actor).__name__}.")
    agents, seed = actor.agents or 1, int(seed)
    generator = torch.Generator().manual_seed(seed)
    with closing(make_envs(env_id, agents * episodes, env_options)) as vector:
        rollout = play_episodes(vector, actor, seed=seed, generator=generator, greedy=greedy)
    returns = rollout.rewards.sum(0).reshape(agents, episodes)
    sums = sum((each.flatten(1).sum(1) for each in actor.parameters()), torch.zeros(agents))  # [K]
    return returns.masked_fill(~sums.isfinite()[:, None], torch.nan)
