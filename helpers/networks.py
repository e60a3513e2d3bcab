"""Actor and Critic: small neural networks, for one agent or for many side by side."""

import copy

import torch
from torch import nn

from helpers.errors import SlipError, check_count

MOST_UNITS = 10_000  # of a layer: two such layers take 400 MB, and more would end the kernel


class AgentLinear(nn.Module):
    """K independent linear layers in one: y[k] = x[k] W[k] + b[k].

    x: [K, N, inputs] -> y: [K, N, outputs]. The weights start orthogonal with the given gain, the
    biases at 0 (Saxe et al. 2014). One batched product serves all K: eight cost little more than
    one.
    """

    def __init__(self, agents, inputs, outputs, *, gain, generator):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(agents, inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(agents, 1, outputs))
        for weight in self.weight:
            nn.init.orthogonal_(weight, gain, generator=generator)

    def forward(self, x):
        return torch.baddbmm(self.bias, x, self.weight)


class Body(nn.Sequential):
    """The hidden layers, with tanh between: [K, N, state_dim] -> [K, N, hidden[-1]].

    Give the same Body to an Actor and a Critic and they share it.
    """

    def __init__(self, state_dim, *, hidden=(64, 64), agents=None, generator=None):
        if not isinstance(hidden, tuple | list):
            raise SlipError(
                f"hidden must list the widths of the hidden layers, as (64, 64) or (), but is "
                f"{hidden!r}."
            )
        for width in (state_dim, *hidden):
            check_count("the width of a layer", width)
            if width > MOST_UNITS:
                raise SlipError(f"A layer has at most {MOST_UNITS} units here, not {width}.")
        if agents is not None:
            check_count("agents", agents)
        layers = []
        for inputs, outputs in zip((state_dim, *hidden), hidden):
            layer = AgentLinear(agents or 1, inputs, outputs, gain=2**0.5, generator=generator)
            layers += [layer, nn.Tanh()]
        super().__init__(*layers)
        self.state_dim, self.width, self.agents = state_dim, (state_dim, *hidden)[-1], agents


class _Network(nn.Module):
    """A body and a linear head, whatever the leading axes of the observations."""

    def __init__(self, state_dim, outputs, *, gain, hidden, agents, generator, body):
        super().__init__()
        check_count("the number of outputs", outputs)
        if body is None:
            body = Body(state_dim, hidden=hidden, agents=agents, generator=generator)
        elif body.state_dim != state_dim:
            raise SlipError(
                f"The body reads states of {body.state_dim} numbers, but state_dim is {state_dim}."
            )
        self.body = body
        self.agents = self.body.agents
        self.head = AgentLinear(
            self.agents or 1, self.body.width, outputs, gain=gain, generator=generator
        )

    def forward(self, observations):
        self._check(observations)
        lead = observations.shape[:-1]
        if self.agents is None:
            x = observations.reshape(1, -1, self.body.state_dim)
            return self.head(self.body(x)).reshape(*lead, -1)
        x = observations.movedim(-3, 0).flatten(1, -2)
        return self.head(self.body(x)).unflatten(1, (*lead[:-2], lead[-1])).movedim(0, -3)

    def agent(self, k):
        """Agent k alone, as a network for one agent that shares no memory with this one."""
        count = self.agents or 1
        if k not in range(count):
            raise SlipError(f"agent(k) knows k from 0 to {count - 1}, but k is {k!r}.")
        alone = copy.deepcopy(self)
        alone.agents = alone.body.agents = None
        for parameter in alone.parameters():
            parameter.data = parameter.data[[k]]
        return alone

    def _check(self, observations):
        kind = self.head.weight.dtype
        if not isinstance(observations, torch.Tensor) or observations.dtype != kind:
            raise SlipError(
                f"This network reads tensors of {kind}: hand it torch.as_tensor(states, dtype={kind})."
            )
        features, agents = self.body.state_dim, self.agents
        shape = tuple(observations.shape)
        if not shape or shape[-1] != features:
            raise SlipError(
                f"This network reads states of {features} numbers, so its input must end with an "
                f"axis of {features}; yours has the shape {shape}."
            )
        if agents is not None and (len(shape) < 3 or shape[-3] != agents):
            raise SlipError(
                f"This network holds {agents} agents, so its input must be [..., {agents}, states, "
                f"{features}]; yours has the shape {shape}."
            )


class Actor(_Network):
    """The policy: states to logits, pi(a|s) = softmax(logits)[a].

    One agent (agents=None): [..., state_dim] -> [..., action_dim].
    K agents (agents=K): [..., K, B, state_dim] -> [..., K, B, action_dim], independent of each other.
    hidden: widths of the hidden layers. generator: torch.Generator of the initial weights.
    body: a Body to share with a Critic. The head starts near 0, so that the first policy is nearly
    uniform. Raises SlipError where a state has the wrong number of features.

    Built by hand in notebooks/03_actor_critic.ipynb.
    """

    def __init__(
        self, state_dim, action_dim, *, hidden=(64, 64), agents=None, generator=None, body=None
    ):
        super().__init__(
            state_dim,
            action_dim,
            gain=0.01,
            hidden=hidden,
            agents=agents,
            generator=generator,
            body=body,
        )


class Critic(_Network):
    """The value function: states to V(s), [..., state_dim] -> [...]. Arguments as for Actor."""

    def __init__(self, state_dim, *, hidden=(64, 64), agents=None, generator=None, body=None):
        super().__init__(
            state_dim, 1, gain=1.0, hidden=hidden, agents=agents, generator=generator, body=body
        )

    def forward(self, observations):
        return super().forward(observations).squeeze(-1)


def make_optimiser(actor, critic=None, *, lr, critic_lr_scale=1.0):
    """Adam over both networks, with the layers that are the critic's alone at lr * critic_lr_scale.

    Adam works number by number, so agents side by side stay independent. Kingma & Ba 2015.
    """
    actors = list(actor.parameters())
    groups = [{"params": actors, "initial_lr": lr}]
    if critic is not None:
        shared = set(actors)
        own = [p for p in critic.parameters() if p not in shared]
        groups.append({"params": own, "initial_lr": lr * critic_lr_scale})
    for group in groups:
        group["lr"] = group["initial_lr"]
    return torch.optim.Adam(groups, fused=True)


def clip_gradients(optimiser, max_norm):
    """Shorten each agent's gradient, its layers taken together, to a norm of at most max_norm."""
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"]]
    norms = sum(g.flatten(1).pow(2).sum(1) for g in gradients).sqrt()
    scale = (max_norm / (norms + 1e-8)).clamp(max=1)
    for gradient in gradients:
        gradient *= scale[:, None, None]
