"""Requests as an environment: read one, choose a tool, be paid if its answer is what was wanted."""

import re
from functools import lru_cache
from typing import ClassVar, NamedTuple

import numpy as np
from gymnasium.spaces import Box, Discrete
from sklearn.feature_extraction.text import HashingVectorizer

from helpers.envs.functional import FunctionalEnv
from helpers.envs.tool_phrases import draw_task
from helpers.errors import SlipError, check_not_negative
from helpers.tools import TOOLS, answered

NAMES = tuple(TOOLS)
PERSON = NAMES.index("person")
CALLED = np.eye(len(NAMES), dtype=bool)  # row a: which tools action a calls
COSTS = np.array([0.02, 0.04, 0.04, 0.04, 0.02, 0.5])  # of one call, in the order of NAMES
RIGHT, WRONG = 1.0, -0.1  # reward of an answer, before the tool's cost
FEATURES = 512
SIZES = {False: 8000, True: 1000}  # requests with training and with held-out phrasings

_vectoriser = HashingVectorizer(
    n_features=FEATURES,
    preprocessor=lambda text: re.sub(r"\d", "0", text[:2000].lower()),
    token_pattern=r"[^\W\d]+|\S",  # words, and every other sign by itself
    ngram_range=(1, 2),
    dtype=np.float32,
)


class TaskSet(NamedTuple):
    """N requests with what each tool makes of them; M is the most meanings that one can have."""

    texts: list
    kinds: list
    answers: list  # of N tuples: the wanted answer for each meaning
    embeddings: np.ndarray  # [N, 512] float32
    meanings: np.ndarray  # [N, M] probabilities
    right: np.ndarray  # [N, M, tools] bool: the tool's answer is the wanted one
    answered: np.ndarray  # [N, tools] bool: the tool gave something that looks like an answer


def embed(texts):
    """Texts as vectors of length 1: [N, 512] float32.

    Each word, sign and pair of neighbours is hashed to one of 512 places, and counts +1 or -1 there.
    All digits look alike; of a text only the first 2000 characters are read.
    """
    return _vectoriser.transform(texts).toarray()


def same_answer(said, wanted):
    """Whether a tool's text gives the wanted answer: a number to 1 part in 1000, else the words."""
    if isinstance(wanted, str):
        return said.casefold() == wanted.casefold()
    number = re.match(r"-?\d+(?:\.\d+)?(?:e[+-]\d+)?", said)
    return bool(number) and abs(float(number[0]) - wanted) <= 1e-3 * abs(wanted) + 1e-9


def task_set(held_out=False):
    """A TaskSet: 8000 requests for training, or 1000 in held-out phrasings.

    Each tool runs on each request. The person is asked in earnest here, and knows what was meant.
    """
    return _drawn(bool(held_out))


@lru_cache
def _drawn(held_out):  # lru_cache takes task_set(), task_set(False) for two, and keeps both
    rng = np.random.default_rng([0, held_out])
    tasks = [draw_task(rng, held_out) for _ in range(SIZES[held_out])]
    most = max(len(task.meanings) for task in tasks)
    meanings = np.zeros((len(tasks), most))
    right = np.zeros((len(tasks), most, len(NAMES)), bool)
    says = [[tool(task.text) for tool in TOOLS.values()] for task in tasks]
    for n, task in enumerate(tasks):
        for m, (wanted, chance) in enumerate(task.meanings):
            meanings[n, m] = chance
            right[n, m] = [same_answer(said, wanted) for said in says[n]]
    right[..., PERSON] = True
    looks = np.array([[answered(said) for said in row] for row in says])
    looks[:, PERSON] = True
    texts, kinds = [task.text for task in tasks], [task.kind for task in tasks]
    answers = [tuple(wanted for wanted, _ in task.meanings) for task in tasks]
    return TaskSet(texts, kinds, answers, embed(texts), meanings, right, looks)


def chances(tasks):
    """Probability that each tool's answer is the wanted one, over what may be meant: [N, tools]."""
    return np.einsum("nm,nmt->nt", tasks.meanings, tasks.right)


def expected_rewards(tasks, costs=COSTS):
    """Expected reward of one call: [N, tools]. What an oracle would know that reads no minds."""
    chance = chances(tasks)
    return RIGHT * chance + WRONG * (1 - chance) - costs


class _Desk:
    """The dynamics: requests, calls and what they pay (see envs.functional)."""

    # a state: the request's number, what the asker means, which tools were called in vain
    STATE = np.dtype([("task", int), ("meaning", int), ("failed", bool, len(NAMES))])

    def __init__(self, held_out=False, retry=False, person_cost=0.5, pay="right"):
        check_not_negative("person_cost", person_cost)
        if pay not in ("right", "answered"):
            raise SlipError(f'pay must be "right" or "answered", but is {pay!r}.')
        self.tasks, self.retry, self.pay = task_set(bool(held_out)), bool(retry), pay
        self.costs = np.append(COSTS[:PERSON], person_cost)
        self._cumulative = self.tasks.meanings.cumsum(1)
        width = FEATURES + self.retry * len(NAMES)
        self.observation_space = Box(-1, 1, (width,), np.float32)
        self.action_space = Discrete(len(NAMES))

    def initial(self, shape, generator):
        states = np.zeros(shape, self.STATE)
        task = states["task"] = generator.integers(len(self.tasks.texts), size=shape)
        meaning = (self._cumulative[task] <= generator.random((*shape, 1))).sum(-1)
        states["meaning"] = np.minimum(meaning, self._cumulative.shape[1] - 1)
        return states

    def transition(self, states, actions, generator):
        task, states = states["task"], states.copy()
        right = self.tasks.right[task, states["meaning"], actions]
        paid = right if self.pay == "right" else self.tasks.answered[task, actions]
        rewards = np.where(paid, RIGHT, WRONG) - self.costs[actions]
        states["failed"] |= CALLED[actions] & ~right[..., None]
        return states, rewards, right | (not self.retry)

    def observation(self, states):
        seen = self.tasks.embeddings.take(states["task"], 0)
        failed = states["failed"].astype(np.float32)
        return np.concatenate([seen, failed], -1) if self.retry else seen


class ToolTasks(FunctionalEnv):
    """One request an episode; registered as ToolTasks-v0, which truncates after 20 calls.

    Observation: the request's embedding, [512] in [-1, 1]; with retry, six numbers more, 1 for each
        tool that was called in vain. Action: the number of a tool in NAMES.
    Reward: 1 if its answer is right, else -0.1, minus the tool's cost.
    The episode ends after one call. With retry it goes on until an answer is right.

    held_out: requests in phrasings that training never uses. person_cost: 0.5, or another.
    pay: "right", or "answered": 1 for whatever looks like an answer (a mistake, on purpose).
    render_mode "ansi": the request, and what the tools said. Raises SlipError for other settings.
    """

    metadata: ClassVar = {"render_modes": ["ansi"], "render_fps": 1}
    make_dynamics = _Desk

    def reset(self, *, seed=None, options=None):
        self._said = []
        return super().reset(seed=seed, options=options)

    def step(self, action):
        result = super().step(action)
        self._said.append(self._answer(NAMES[action]))
        return result

    def render(self):
        return "\n".join([self.dynamics.tasks.texts[self.state["task"]], *self._said])

    def _answer(self, name):
        tasks, task = self.dynamics.tasks, self.state["task"]
        if name == "person":
            return f"person: {tasks.answers[task][self.state['meaning']]}"
        return f"{name}: {TOOLS[name](tasks.texts[task])}"


ToolTasksVector = ToolTasks.vector
