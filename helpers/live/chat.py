"""The support chat of lesson 08: the sliders of its prices, its strips and its picture."""

from helpers.envs.support import ACTIONS
from helpers.envs.support_solution import regions
from helpers.live.cells import Strip, Strips
from helpers.live.controls import slider
from helpers.live.parts import Ground, Plane
from helpers.live.picture import Picture
from helpers.plots import COLOURS

ACTION_COLOURS = [COLOURS[name] for name in ("blue", "orange", "purple")]
LOOK = {"names": ACTIONS, "colours": ACTION_COLOURS}


def price_sliders(*names):
    """Sliders of the chat's prices of these names, or of all four; each of their positions is legal.

    They are named as support_chat's arguments are.
    """
    ranges = {
        "accuracy": ("clarity of replies q", 0.8, 0.5, 1.0, 0.01),
        "question_cost": ("question's cost c", 0.1, 0.01, 0.6, 0.01),
        "wrong_price": ("mistake's price w", 2.0, 0.0, 6.0, 0.25),
        "escalation_cost": ("person's cost e", 0.2, 0.0, 1.0, 0.05),
    }
    return {name: slider(*ranges[name]) for name in names or ranges}


def draw_strip(axes, low, high, beliefs, best, **style):
    """Draw the best actions as a band from `low` to `high` on the axes of a figure."""
    Strip(axes, low, high, **LOOK, **style).set(regions(beliefs, best))


def strips(**axes):
    """The part of a picture that shows an item's best actions, as a strip for each run."""
    texts = {"xlabel": "belief in intent 1", "title": "a answer, c clarify, e escalate"}
    return Strips(lambda item: regions(item.beliefs, item.best), **LOOK, **texts | axes)


def solved_picture():
    """A picture of Solved items: V against belief, and the best action as a strip for each run."""
    zero = Ground(lambda axes: axes.axhline(0, color=COLOURS["grey"], lw=0.8, ls=":"))
    values = Plane(
        lambda item: item.values,
        x=lambda item: item.beliefs,
        xlim=(0, 1),
        ylim=(-1.05, 1.05),
        xlabel="belief in intent 1",
        ylabel="V, best value",
    )
    return Picture((zero, values), strips(), size=(9, 3.7))
