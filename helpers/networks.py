"""Actor and Critic: small neural networks, for one agent or for many side by side."""

import torch
from torch import nn

from helpers.errors import SlipError, check_count, check_not_negative, check_positive
from helpers.policies import Choice, Gaussian

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


class GaussianHead(AgentLinear):
    """K layers with outputs for a policies.Gaussian: means, and beside them log standard deviations.

    x: [K, N, inputs] -> [K, N, 2 * outputs]. The log standard deviations are parameters of each agent
    that depend on no state and start at 0, as in CleanRL and Stable-Baselines3.
    """

    def __init__(self, agents, inputs, outputs, **options):
        super().__init__(agents, inputs, outputs, **options)
        self.log_std = nn.Parameter(torch.zeros(agents, 1, outputs))

    def forward(self, x):
        mean = super().forward(x)
        return torch.cat([mean, self.log_std.expand_as(mean)], -1)


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

    def __init__(
        self, state_dim, outputs, *, gain, hidden, agents, generator, body, head=AgentLinear
    ):
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
        self.head = head(self.agents or 1, self.body.width, outputs, gain=gain, generator=generator)

    def forward(self, observations):
        self._check(observations)
        lead = observations.shape[:-1]
        if self.agents is None:
            x = observations.reshape(1, -1, self.body.state_dim)
            return self.head(self.body(x)).reshape(*lead, -1)
        x = observations.movedim(-3, 0).flatten(1, -2)
        return self.head(self.body(x)).unflatten(1, (*lead[:-2], lead[-1])).movedim(0, -3)

    def snapshot(self):
        """The network as it now is: a copy that shares no memory, in a tenth of deepcopy's time."""
        return _copied(self)

    def agent(self, k):
        """Agent k alone, as a network for one agent that shares no memory with this one."""
        count = self.agents or 1
        if k not in range(count):
            raise SlipError(f"agent(k) knows k from 0 to {count - 1}, but k is {k!r}.")
        alone = self.snapshot()
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


def _copied(module):
    """A module with copies of its parameters and of its parts' ones; it may hold nothing else."""
    twin = module.__class__.__new__(module.__class__)
    twin.__dict__.update(module.__dict__)
    twin._parameters = {
        name: nn.Parameter(p.detach().clone(), p.requires_grad)
        for name, p in module._parameters.items()
    }
    twin._modules = {name: _copied(part) for name, part in module._modules.items()}
    return twin


class Actor(_Network):
    """The policy: states to logits, pi(a|s) = softmax(logits)[a], or to what a Gaussian needs.

    One agent (agents=None): [..., state_dim] -> [..., action_dim].
    K agents (agents=K): [..., K, B, state_dim] -> [..., K, B, action_dim], independent of each other.
    policy: what the outputs mean, policies.Choice (among action_dim actions) or policies.Gaussian
        (action_dim numbers; then the outputs are twice as many: means and log standard deviations).
    hidden: widths of the hidden layers. generator: torch.Generator of the initial weights.
    body: a Body to share with a Critic. The head starts near 0, so that the first policy is nearly
    uniform, or has means near 0. Raises SlipError where a state has the wrong number of features.

    Built by hand in notebooks/03_actor_critic.ipynb.
    """

    def __init__(
        self,
        state_dim,
        action_dim,
        *,
        policy=Choice,
        hidden=(64, 64),
        agents=None,
        generator=None,
        body=None,
    ):
        super().__init__(
            state_dim,
            action_dim,
            gain=0.01,
            hidden=hidden,
            agents=agents,
            generator=generator,
            body=body,
            head=GaussianHead if policy is Gaussian else AgentLinear,
        )
        self.policy, self.least_entropy = policy, policy.least_entropy(action_dim)


class Critic(_Network):
    """The value function: states to V(s), [..., state_dim] -> [...]. Arguments as for Actor."""

    def __init__(self, state_dim, *, hidden=(64, 64), agents=None, generator=None, body=None):
        super().__init__(
            state_dim, 1, gain=1.0, hidden=hidden, agents=agents, generator=generator, body=body
        )

    def forward(self, observations):
        return super().forward(observations).squeeze(-1)


def per_agent(name, value, agents, check):
    """A number for all agents, or K numbers (list, tuple, array, tensor), one an agent, checked.

    check(name, number): raises SlipError for a number that makes no sense, which is then named as
    "gamma[3]", counted from 0. Returns the number where there is one, or where all are equal, else a
    float64 tensor [K]. Raises SlipError where there are not as many numbers as agents.
    """
    if hasattr(value, "tolist"):
        value = value.tolist()
    if not isinstance(value, list | tuple):
        check(name, value)
        return value
    if len(value) != agents:
        raise SlipError(
            f"{name} holds {len(value)} numbers, but the number of agents is {agents}: give one "
            "number for all of them, or one for each."
        )
    for k, number in enumerate(value):
        check(f"{name}[{k}]", number)
    return value[0] if len(set(value)) == 1 else torch.tensor(value, dtype=torch.float64)


class AgentAdam(torch.optim.Adam):
    """Adam for K agents, each with a learning rate of its own.

    A group's "lr" is the largest one; "share" [K, 1, 1] is each agent's part of it, or None where all
    have the same. Adam's step is linear in the learning rate, so each agent keeps its part of it.
    """

    @torch.no_grad()
    def step(self):
        uneven = [group for group in self.param_groups if group["share"] is not None]
        before = [[p.clone() for p in group["params"]] for group in uneven]
        super().step()
        for group, olds in zip(uneven, before):
            for parameter, old in zip(group["params"], olds):
                torch.lerp(old, parameter, group["share"], out=parameter)


def make_optimiser(actor, critic=None, *, lr, critic_lr_scale=1.0):
    """Adam over both networks, with the layers that are the critic's alone at lr * critic_lr_scale.

    lr, critic_lr_scale: a number for all agents or K numbers, one an agent; SlipError where they make
    no sense. Adam works number by number, so agents side by side stay independent. Kingma & Ba 2015.
    """
    agents = actor.agents or 1
    lr = per_agent("lr", lr, agents, check_positive)
    scale = per_agent("critic_lr_scale", critic_lr_scale, agents, check_not_negative)
    actors = list(actor.parameters())
    groups = [_group(actors, lr)]
    if critic is not None:
        shared = set(actors)
        groups.append(_group([p for p in critic.parameters() if p not in shared], lr * scale))
    return AgentAdam(groups, fused=True)


def _group(parameters, rates):
    largest = float(rates.max()) if isinstance(rates, torch.Tensor) else rates
    uneven = isinstance(rates, torch.Tensor) and (rates != largest).any()
    share = (rates / largest).float()[:, None, None] if uneven else None
    return {"params": parameters, "lr": largest, "initial_lr": largest, "share": share}


def clip_gradients(optimiser, max_norm):
    """Shorten each agent's gradient, its layers taken together, to a norm of at most max_norm."""
    gradients = [p.grad for group in optimiser.param_groups for p in group["params"]]
    norms = sum(g.flatten(1).pow(2).sum(1) for g in gradients).sqrt()
    scale = (max_norm / (norms + 1e-8)).clamp(max=1)
    for gradient in gradients:
        gradient *= scale[:, None, None]
