"""Watching an agent play: one episode as a small animated picture, without a display or ffmpeg.

The picture is an animated PNG, which plays in a browser wherever a PNG shows (nbconvert, for one,
shows PNGs and no GIFs). Where nothing can move, its last frame shows.
"""

import base64
import html
import io
import os
import threading
from contextlib import closing, contextmanager
from typing import NamedTuple

import gymnasium
import ipywidgets as widgets
import numpy as np
import torch
from IPython.display import display
from PIL import Image, ImageDraw, ImageFont, ImageOps

from helpers import in_foreground
from helpers.errors import SlipError, check_count
from helpers.live.controls import answer_at_once, close, replace_earlier
from helpers.networks import Actor
from helpers.policies import policy_for
from helpers.rollout import make_envs

MOST_STEPS = 1000  # some environments have no time limit, and some policies never finish
PLAY_MS, FRAME_MS, HOLD_MS = 4000, 100, 1000  # whole animation, longest frame, rest on the last one
MOST_FRAMES, SIZE = 100, (300, 200)  # pixels, without the line of caption
CAPTION_HEIGHT, PALETTE_SIZE = 22, 32
PIXELS = threading.Lock()  # pygame draws for one thread at a time, and closing it closes it for all


class Recording(NamedTuple):
    """One episode and its picture."""

    png: bytes  # animated, plays once, lasts at most 5 seconds
    frames: int
    steps: int
    episode_return: float  # undiscounted
    ending: str  # in words, to follow "12 steps, "


def record(actor, env_id, *, seed, agent=0):
    """Play one episode of the single environment `env_id` and draw it.

    actor: an Actor; of several agents, number `agent` plays (the first is 0). Actions are sampled.
    seed: of the environment and of the actions; the same actor and seed give the same bytes.
    Returns a Recording, of a long episode MOST_FRAMES pictures spread evenly, its first and last state
    included. An episode is left after 1000 steps. Raises SlipError for an unknown environment, for one
    that draws no pictures, and for an agent that does not exist or fit.
    """
    check_count("seed", seed, least=0)
    if not isinstance(actor, Actor):
        raise SlipError(f"record needs an Actor, but got {type(actor).__name__}.")
    player, seed = actor.agent(agent), int(seed)  # a copy, so that training may go on meanwhile
    make_envs(env_id, 1).close()  # says in words what is wrong with the environment
    with closing(gymnasium.make(env_id)) as env:
        if "rgb_array" not in env.metadata.get("render_modes", []):
            raise SlipError(
                f"{env_id} cannot draw itself as pictures (it has no render mode rgb_array), "
                "so there is nothing to watch. Its returns can still be plotted."
            )
        actions, rewards, ending = _play(player, env, seed)
    # Drawing is what takes time: play blind first, then repeat the episode and draw what is kept.
    kept = np.linspace(0, len(actions), min(MOST_FRAMES, len(actions) + 1)).round().astype(int)
    with PIXELS, _no_window(), closing(gymnasium.make(env_id, render_mode="rgb_array")) as env:
        pictures = [Image.fromarray(pixels) for pixels in _draw(env, actions, seed, set(kept))]
    returns = np.concatenate([[0.0], np.cumsum(rewards)])
    frames = [
        _captioned(picture, f"step {t}    return {returns[t]:.4g}")
        for picture, t in zip(pictures, kept)
    ]
    return Recording(_animate(frames), len(frames), len(actions), float(returns[-1]), ending)


def watch(source, env_id, *, seed=0):
    """Show an agent playing one episode, with a button that plays the next.

    source: an Actor, or a live panel, whose newest agent plays each time the button is pressed.
    seed: of the first episode; the next ones count on from it.
    Raises SlipError where record does, and for a source that holds no agent.
    """
    player = Player(source, env_id, seed=seed)
    replace_earlier(player)
    data, metadata = player.bundle()
    display(data, metadata=metadata, raw=True)
    if in_foreground():
        print(player.sentence)  # for readers of the stored output, who don't see the box


class Player:
    """The box that `watch` shows: picture, sentence, button, and who of several plays.

    Errors of the first episode are raised; later ones run in the button's own thread, where a
    raised error would be lost, and are shown in the sentence.
    """

    def __init__(self, source, env_id, *, seed=0):
        self.source, self.env_id, self.seed = source, env_id, seed
        self.recording, self.sentence = None, ""
        self._busy = threading.Lock()
        self.picture, self.text = widgets.HTML(), widgets.HTML()
        self.button = widgets.Button(description="Play", icon="play")
        # Buttons, since JupyterLab takes a focused drop-down's arrow keys and letters for its own.
        self.agent = widgets.ToggleButtons(options=[("", 0)], style={"button_width": "6em"})
        self.box = widgets.VBox([self.picture, self.text, widgets.HBox([self.button, self.agent])])
        self._play()
        self.button.on_click(lambda _: self._respond(self.recording is not None))
        self.agent.observe(lambda _: self._respond(0), "value")
        for widget in (self.button, self.agent):
            answer_at_once(widget)

    def bundle(self):
        """The output's data and metadata: the live box, the picture for readers, a fixed text."""
        data = {**self.box._repr_mimebundle_(), "text/plain": "An agent playing one episode."}
        if self.recording is None:
            return data, {}
        data["image/png"] = base64.b64encode(self.recording.png).decode()
        return data, {"image/png": {"alt": self.sentence}}

    def close(self):
        """Take the box off the page and free its memory."""
        close(self.box)

    def _respond(self, seeds_on):
        """Play again, unless an episode is being recorded: a second click is not a second order."""
        if not self._busy.acquire(blocking=False):
            return
        self.button.disabled = self.agent.disabled = True
        try:
            self._say("Playing ...")
            self.seed += seeds_on
            self._play()
        except SlipError as error:
            self._say(str(error))
        except Exception as error:
            self._say(f"That did not work. {type(error).__name__}: {error}")
        finally:
            self.button.disabled = self.agent.disabled = False
            self._busy.release()

    def _play(self):
        actor = _newest_actor(self.source)
        agents = 1 if actor is None else actor.agents or 1
        if len(self.agent.options) != agents:
            self.agent.options = [(f"Agent {k + 1}", k) for k in range(agents)]
        self.agent.layout.display = "none" if agents == 1 else None
        if actor is None:
            self._say("There is no agent yet: wait until the panel has begun to train, then play.")
            return
        k = self.agent.value
        self.recording = record(actor, self.env_id, seed=self.seed, agent=k)
        self.button.description = "Play again"
        who = f"Agent {k + 1} of {agents}" if agents > 1 else "The agent"
        _, _, steps, episode_return, ending = self.recording
        self._say(
            f"{who} played {steps} steps, {ending}: return {episode_return:.4g}. "
            f"Actions sampled, seed {self.seed}."
        )
        source = base64.b64encode(self.recording.png).decode()
        # widgets.Image has no alt text, and a browser would read out its address instead.
        alt = "Animation of the episode that the next line sums up"
        self.picture.value = f'<img alt="{alt}" src="data:image/png;base64,{source}">'

    def _say(self, sentence):
        self.sentence, self.text.value = sentence, html.escape(sentence)


def _newest_actor(source):
    """The Actor to watch, or None while a panel has not made one yet."""
    if isinstance(source, Actor):
        return source
    if not hasattr(source, "latest"):
        raise SlipError(
            f"watch needs an Actor or a live panel that trains one, not {type(source).__name__}."
        )
    if source.latest is None:
        return None
    if not hasattr(source.latest, "actor"):
        raise SlipError("This panel trains no agent, so there is nothing to watch.")
    return source.latest.actor


@torch.no_grad()
def _play(player, env, seed):
    """One episode: actions and rewards (lists of T), and how it ended in words."""
    generator = torch.Generator().manual_seed(seed)
    observation, _ = env.reset(seed=seed)
    policy, size = policy_for(env.action_space)
    actions, rewards = [], []
    while len(actions) < MOST_STEPS:
        outputs = player(torch.as_tensor(observation, dtype=torch.float32))
        if not outputs.isfinite().all():
            raise SlipError("This agent cannot act: its policy is no longer a number.")
        action = policy.sample(outputs, policy.noise((size,), generator)).numpy()
        actions.append(policy.to_env(action, env.action_space))
        observation, reward, terminated, truncated, _ = env.step(actions[-1])
        rewards.append(float(reward))
        if terminated or truncated:
            return actions, rewards, "until it ended" if terminated else "up to the time limit"
    return actions, rewards, "then was stopped"


def _draw(env, actions, seed, kept):
    """Repeat the episode; yield the pixels of the states whose number is in `kept`, as 0 always is."""
    env.reset(seed=seed)
    yield env.render()
    for t, action in enumerate(actions, start=1):
        env.step(action)
        if t in kept:
            yield env.render()


@contextmanager
def _no_window():
    """Let SDL, which draws for pygame, look for no screen; afterwards it may again."""
    before = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = "dummy"
    try:
        yield
    finally:
        if before is None:
            del os.environ["SDL_VIDEODRIVER"]
        else:
            os.environ["SDL_VIDEODRIVER"] = before


def _captioned(picture, text):
    """The picture, made to fit SIZE, above a line of text."""
    picture = ImageOps.contain(picture, SIZE, Image.Resampling.BOX)
    frame = Image.new("RGB", (picture.width, picture.height + CAPTION_HEIGHT), "white")
    frame.paste(picture)
    middle = picture.height + CAPTION_HEIGHT // 2
    # At the left, so that digits stay in place when their number grows: a smaller file.
    ImageDraw.Draw(frame).text((8, middle), text, "black", ImageFont.load_default(14), anchor="lm")
    return frame


def _animate(frames):
    """The frames as PNG bytes, in colours they share, so that only what moves is stored."""
    sample = frames[:: max(1, len(frames) // 5)] + frames[-1:]
    sheet = np.concatenate([np.asarray(frame) for frame in sample])
    palette = Image.fromarray(sheet).quantize(PALETTE_SIZE, Image.Quantize.MAXCOVERAGE)
    frames = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [min(FRAME_MS, PLAY_MS // len(frames))] * len(frames)
    durations[-1] = HOLD_MS
    stream = io.BytesIO()
    frames[-1].save(
        stream,
        "PNG",
        save_all=True,
        append_images=frames,
        default_image=True,  # the last frame, shown where nothing moves
        duration=durations,
        loop=1,
    )
    return stream.getvalue()
