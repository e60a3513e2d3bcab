"""Figures of the lessons, each with alt text, drawn with pyplot in the lessons' own cells."""

import html
import re

import matplotlib
import numpy as np
from cycler import cycler
from IPython.core.pylabtools import print_figure
from IPython.display import display
from matplotlib import pyplot as plt

from helpers import in_foreground

# Okabe & Ito's palette: distinct to colour-blind readers. Line styles tell the lines apart in grey.
COLOURS = {
    "blue": "#0072B2",
    "vermilion": "#D55E00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "orange": "#E69F00",
    "sky": "#56B4E9",
    "black": "#000000",
    "grey": "#7F7F7F",
}
LINE_STYLES = ("-", "--", "-.", ":")

matplotlib.rcParams.update(
    {
        "axes.prop_cycle": cycler(color=list(COLOURS.values())[:4]) + cycler(linestyle=LINE_STYLES),
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.alpha": 0.3,
        "figure.dpi": 100,
        "figure.figsize": (8, 3.2),
        "figure.constrained_layout.use": True,
        "font.size": 11,
        "legend.frameon": False,
    }
)


def show(figure, alt):
    """Display a figure with its alt text, a sentence or two on what is to be seen, and close it.

    Raises ValueError where the alt text or the label of an axis with numbers is missing.

    The alt text is stored with the picture. JupyterLab 4 does not read it from there, so where
    somebody is looking (COURSE_FOREGROUND is not set) the output is also an <img> that has it.
    """
    if not alt.strip():
        raise ValueError("Every figure needs alt text that says what is to be seen.")
    png = print_figure(figure, "png", base64=True)
    check_labels(figure)
    data = {"image/png": png, "text/plain": "A figure."}
    if not in_foreground():
        data["text/html"] = f'<img alt="{html.escape(alt)}" src="data:image/png;base64,{png}">'
    display(data, metadata={"image/png": {"alt": alt}}, raw=True)
    plt.close(figure)


def check_labels(figure):
    """Raise ValueError if an axis of a drawn figure has numbers, but no label that names them."""
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            shown = [tick.get_text() for tick in axis.get_ticklabels() if tick.get_visible()]
            numbers = any(re.fullmatch(r"[−\d.]+[kM]?|\$.*\$", text) for text in shown)
            if numbers and not axis.get_label_text().strip():
                raise ValueError(f"The {axis.axis_name} axis needs a label that names its numbers.")


def band(axes, x, runs, label, **style):
    """Draw the mean over runs as a line and the middle 80 % of the runs as a band around it.

    x: [N]; runs: [R, N], one row a run (NaN where a run has no value). Returns the line.
    """
    x, runs = np.asarray(x), np.asarray(runs, float)
    known = ~np.isnan(runs).all(0)  # NumPy warns of means over nothing
    x, runs = x[known], runs[:, known]
    (line,) = axes.plot(x, np.nanmean(runs, 0), label=label, **style)
    low, high = np.nanpercentile(runs, [10, 90], axis=0)
    axes.fill_between(x, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    return line
