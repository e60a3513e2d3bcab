"""Watching an agent: the picture, the box with its button, and what goes wrong with either."""

import base64
import io
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import gymnasium
import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from helpers.errors import SlipError
from helpers.live import player, watch
from helpers.live.player import Player, record
from helpers.networks import Actor

CARTPOLE = "CartPole-v1"


class Endless(gymnasium.Env):
    """Never ends, and draws pictures of the step's number (a grey level), in portrait."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012 (as in Gymnasium)
    observation_space = gymnasium.spaces.Box(-1, 1, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
    still_open = 0

    def __init__(self, render_mode=None):
        self.render_mode, self.t = render_mode, 0
        type(self).still_open += 1

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(4, np.float32), {}

    def step(self, action):
        self.t += 1
        return np.zeros(4, np.float32), -0.5, False, False, {}

    def render(self):
        return np.full((300, 100, 3), self.t * 255 // player.MOST_STEPS, np.uint8)

    def close(self):
        type(self).still_open -= 1


class Blind(Endless):
    metadata = {"render_modes": []}  # noqa: RUF012


class Broken(Endless):
    still_open = 0

    def render(self):
        raise RuntimeError("the pencil broke")


for kind in (Endless, Blind, Broken):
    gymnasium.register(f"Test{kind.__name__}-v0", entry_point=kind, disable_env_checker=True)


@pytest.fixture
def actor():
    """Three agents: always left, always right, near to even."""
    actor = Actor(4, 2, hidden=(8,), agents=3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        actor.head.bias[:2, 0] = torch.tensor([[50.0, -50.0], [-50.0, 50.0]])
    return actor


def frames_of(png):
    """The moving frames, their durations, the still picture before them, and the image."""
    image = Image.open(io.BytesIO(png))
    still, frames, durations = np.asarray(image.convert("RGB")), [], []
    for k in range(1, image.n_frames):
        image.seek(k)
        frames.append(np.asarray(image.convert("RGB")))
        durations.append(image.info["duration"])
    return frames, durations, still, image


@pytest.mark.parametrize("env_id", [CARTPOLE, "TestEndless-v0"])
def test_the_picture_is_small_and_plays_once_for_at_most_five_seconds(actor, env_id):
    recording = record(actor, env_id, seed=1, agent=2)
    frames, durations, still, image = frames_of(recording.png)
    assert image.is_animated and image.info["loop"] == 1  # one round; 0 would be for ever
    assert len(frames) == recording.frames == min(100, recording.steps + 1)
    assert sum(durations) <= 5000 and durations[-1] == 1000  # the end is held
    assert np.array_equal(still, frames[-1])  # where nothing moves, the end is seen
    assert len(recording.png) < 40_000


def test_the_frames_are_those_of_the_episode(actor):
    """The first frame, the last and their number of steps, drawn without record's two passes."""
    recording = record(actor, CARTPOLE, seed=5, agent=0)
    env = gymnasium.make(CARTPOLE, render_mode="rgb_array")
    env.reset(seed=5)
    drawn, over = [env.render()], False
    while not over:
        *_, terminated, truncated, _ = env.step(0)
        drawn, over = [*drawn, env.render()], terminated or truncated
    env.close()
    assert recording.steps == recording.episode_return == len(drawn) - 1
    assert recording.frames == len(drawn)
    for frame, pixels in zip(frames_of(recording.png)[0], drawn, strict=True):
        difference = np.abs(frame[:200].astype(int) - pixels[::2, ::2])
        assert frame.shape == (222, 300, 3) and (difference.max(2) > 60).mean() < 0.01


def test_long_episodes_are_thinned_evenly(actor, monkeypatch):
    monkeypatch.setattr(player, "MOST_FRAMES", 11)
    recording = record(actor, "TestEndless-v0", seed=0)
    assert (recording.steps, recording.frames) == (1000, 11)
    assert recording.episode_return == -500 and recording.ending == "then was stopped"
    frames, _, _, image = frames_of(recording.png)
    greys = [frame[0, 0, 0] for frame in frames]
    assert np.allclose(greys, np.linspace(0, 255, 11), atol=8)  # 32 colours: rounded
    assert image.size == (67, 222)  # 100 x 300 keeps its shape within 300 x 200
    texts = [frame[200:].tobytes() for frame in frames]
    assert len(set(texts)) == 11  # each caption differs


def test_same_seed_same_bytes_even_side_by_side(actor):
    stop = threading.Event()

    def disturb():
        while not stop.is_set():
            torch.rand(100), random.random(), actor(torch.zeros(3, 5, 4))

    def play(seed):
        return record(actor, CARTPOLE, seed=seed, agent=2).png

    alone = [play(seed) for seed in range(4)]
    with ThreadPoolExecutor(5) as pool:
        pool.submit(disturb)
        together = [pool.submit(play, seed) for seed in range(4)]
        [one.exception() for one in together]  # waits
        stop.set()
    assert [one.result() for one in together] == alone and len(set(alone)) == 4


def test_agents_are_told_apart(actor):
    left, right = (record(actor, CARTPOLE, seed=0, agent=k) for k in (0, 1))
    assert left.steps < 12 and right.steps < 12 and left.png != right.png
    alone = record(actor.agent(1), CARTPOLE, seed=0)
    assert alone == right


def test_actions_are_sampled_with_the_policys_probabilities(actor):
    """Logits (0, log 3): the second action in three of four steps, not in all."""
    even = actor.agent(2)
    torch.nn.init.zeros_(even.head.weight)
    even.head.bias.data[0, 0] = torch.tensor([0.0, np.log(3.0)])
    env = gymnasium.make("TestEndless-v0")
    actions, _, _ = player._play(even, env, 0)
    assert abs(np.mean(actions) - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 1000)


def test_nothing_global_is_touched(actor, unchanged_globals):
    record(actor, CARTPOLE, seed=0)  # imports happen here
    environment = dict(os.environ)
    with unchanged_globals():
        record(actor, CARTPOLE, seed=0)
    assert dict(os.environ) == environment


def test_silent_without_a_display():
    """In a fresh process, as on a server: no greeting, no warning, no complaint of SDL."""
    code = (
        "import torch; from helpers.networks import Actor; from helpers.live.player import record\n"
        "actor = Actor(4, 2, generator=torch.Generator().manual_seed(0))\n"
        f"assert record(actor, {CARTPOLE!r}, seed=0).steps > 5"
    )
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "XDG_RUNTIME_DIR")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    "words, change",
    [
        ("knows no environment", dict(env_id="CartPol-v9")),
        ("cannot draw itself", dict(env_id="TestBlind-v0")),
        ("reads states of 4 numbers", dict(env_id="MountainCar-v0")),
        ("knows k from 0 to 2", dict(agent=3)),
        ("knows k from 0 to 2", dict(agent=-1)),
        ("seed must be a whole number", dict(seed=-1)),
        ("needs an Actor, but got str", dict(actor="me")),
        ("what the actor returns must have the shape", dict(actor=Actor(4, 3))),
    ],
)
def test_slips_are_told_in_words(actor, words, change):
    arguments = dict(actor=actor, env_id=CARTPOLE, seed=0) | change
    with pytest.raises(SlipError, match=words):
        record(**arguments)


def test_a_policy_that_is_no_number_is_named(actor):
    actor.head.bias.data[:] = torch.nan
    with pytest.raises(SlipError, match="no longer a number"):
        record(actor, CARTPOLE, seed=0)


def test_the_environment_is_closed_after_an_error(actor):
    with pytest.raises(RuntimeError, match="pencil"):
        record(actor, "TestBroken-v0", seed=0)
    assert Broken.still_open == 0 and "SDL_VIDEODRIVER" not in os.environ
    assert record(actor, CARTPOLE, seed=0).steps > 5  # the lock is free again


def in_threads(call, count=1):
    """A call made as the page makes it, or several at once."""
    with ThreadPoolExecutor(count) as pool:
        for made in [pool.submit(call) for _ in range(count)]:
            made.result()


def test_the_button_plays_the_newest_agent_with_the_next_seed(actor):
    panel = SimpleNamespace(latest=None)
    box = Player(panel, CARTPOLE, seed=7)
    assert "no agent yet" in box.text.value and box.recording is None
    assert "image/png" not in box.bundle()[0] and box.agent.layout.display == "none"
    for newest, seed, sentence in [
        (actor.agent(0), 7, "The agent played"),
        (actor, 8, "Agent 1 of 3 played"),
    ]:
        panel.latest = SimpleNamespace(actor=newest)
        in_threads(box.button.click)
        assert box.recording == record(newest, CARTPOLE, seed=seed)
        assert sentence in box.text.value and f"seed {seed}" in box.text.value
        encoded = base64.b64encode(box.recording.png).decode()
        assert encoded in box.picture.value and "alt=" in box.picture.value
        assert not box.button.disabled and box.button.description == "Play again"
    assert len(box.agent.options) == 3 and box.agent.layout.display is None
    in_threads(lambda: setattr(box.agent, "value", 1))
    assert box.recording == record(actor, CARTPOLE, seed=8, agent=1)
    assert "Agent 2 of 3" in box.text.value
    panel.latest = SimpleNamespace(actor=actor.agent(1))  # fewer agents than before
    in_threads(box.button.click)
    assert "The agent played" in box.text.value and len(box.agent.options) == 1


def test_quick_clicks_make_one_recording_and_its_error_is_shown(actor, monkeypatch):
    box, seen = Player(actor, CARTPOLE), []

    def slow(*_, **__):
        seen.append((box.button.disabled, box.agent.disabled, box.text.value))
        time.sleep(0.2)
        raise KeyError("<b>")

    monkeypatch.setattr(player, "record", slow)
    in_threads(box.button.click, 5)
    assert seen == [(True, True, "Playing ...")] and box.seed == 1
    assert not box.button.disabled and not box.agent.disabled
    assert "KeyError" in box.text.value and "&lt;b&gt;" in box.text.value
    monkeypatch.undo()
    box.source = Actor(2, 2)
    in_threads(box.button.click)
    assert "reads states of 2 numbers" in box.text.value


@pytest.mark.parametrize(
    "source, words",
    [
        ("me", "needs an Actor or a live panel"),
        (SimpleNamespace(latest=SimpleNamespace(fraction=1)), "trains no agent"),
    ],
)
def test_watch_says_when_there_is_no_agent_to_be_had(source, words):
    with pytest.raises(SlipError, match=words):
        watch(source, CARTPOLE)


@pytest.mark.parametrize("foreground", ["1", ""])
def test_what_a_notebook_stores(actor, monkeypatch, capsys, foreground):
    shown = []
    monkeypatch.setattr(player, "display", lambda *a, **k: shown.append((a, k)))
    monkeypatch.setenv("COURSE_FOREGROUND", foreground)
    assert watch(actor, CARTPOLE, seed=3) is None
    [((data,), options)] = shown
    assert set(data) == {"application/vnd.jupyter.widget-view+json", "image/png", "text/plain"}
    recording = record(actor, CARTPOLE, seed=3)
    assert base64.b64decode(data["image/png"]) == recording.png
    assert data["text/plain"] == "An agent playing one episode." and options["raw"] is True
    sentence = options["metadata"]["image/png"]["alt"]
    assert sentence.startswith(f"Agent 1 of 3 played {recording.steps} steps, until it ended")
    assert capsys.readouterr().out == (sentence + "\n" if foreground else "")
    nbformat.v4.new_output("display_data", data=data, metadata=options["metadata"])  # validates
