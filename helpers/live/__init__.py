"""What moves in the lessons: panels, their controls, pictures made of parts, an agent to watch.

live.LivePanel(train, live.Picture(live.Curves(...)), gamma=live.gamma(0.99))
"""

# ruff: noqa: F401 (the names are here to be found)

from helpers.live.annotator import Annotator, AskBox
from helpers.live.cells import Map, Strip, Strips
from helpers.live.controls import Slider, agents, choice, gamma, learning_rate, seed, slider
from helpers.live.film import Film
from helpers.live.grid import Grid, Judged, critic_picture, draw_values
from helpers.live.guesses import predict, predictions, score
from helpers.live.maps import map_panel
from helpers.live.panel import LivePanel
from helpers.live.parts import Bars, Curves, Ground, Item, Part, Path, Plane, learning_curves
from helpers.live.picture import Picture
from helpers.live.player import watch
from helpers.loop import diverged
