"""Figures with alt text, and the band of a mean."""

import base64
import warnings

import numpy as np
import pytest
from matplotlib import pyplot as plt
from test_picture import pixels

from helpers import plots
from helpers.plots import COLOURS, band, show


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: a list of (data, metadata)."""
    calls = []
    monkeypatch.setattr(
        plots, "display", lambda data, metadata, raw: calls.append((data, metadata))
    )
    return calls


@pytest.mark.parametrize("foreground", ["1", ""])
def test_show_stores_the_alt_text_and_closes_the_figure(shown, monkeypatch, foreground):
    monkeypatch.setenv("COURSE_FOREGROUND", foreground)
    figure, (top, bottom) = plt.subplots(2, sharex=True)
    bottom.set(xlabel="step", ylabel="return")
    top.set(yticks=[0, 1], yticklabels=["gamma 0", "gamma 0.5"])  # words need no label
    show(figure, 'A line that "rises" from 1 < 2.')
    [(data, metadata)] = shown
    assert metadata == {"image/png": {"alt": 'A line that "rises" from 1 < 2.'}}
    assert pixels(base64.b64decode(data["image/png"])).shape[2] == 4
    assert plt.get_fignums() == [] and data["text/plain"] == "A figure."
    assert ("text/html" in data) != bool(foreground)
    if not foreground:
        assert 'alt="A line that &quot;rises&quot; from 1 &lt; 2."' in data["text/html"]


@pytest.mark.parametrize("alt", ["", "  \n"])
def test_show_refuses_a_figure_without_alt_text(shown, alt):
    figure = plt.figure()
    with pytest.raises(ValueError, match="needs alt text"):
        show(figure, alt)
    assert shown == []
    plt.close(figure)


def test_a_band_is_the_mean_and_the_middle_of_the_runs():
    figure, axes = plt.subplots()
    runs = np.random.default_rng(0).normal(size=(10, 4))
    runs[:, 0], runs[3, 1] = np.nan, np.nan  # nothing known at first; one run a little later
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        line = band(axes, [10, 20, 30, 40], runs, "ten runs", color=COLOURS["green"])
    assert line.get_label() == "ten runs" and list(line.get_xdata()) == [20, 30, 40]
    others = np.delete(runs[:, 1], 3)
    assert np.allclose(line.get_ydata(), [others.mean(), runs[:, 2].mean(), runs[:, 3].mean()])
    edges = axes.collections[0].get_paths()[0].vertices
    at_30 = np.unique(edges[edges[:, 0] == 30, 1])
    assert np.allclose([at_30.min(), at_30.max()], np.percentile(runs[:, 2], [10, 90]))
    plt.close(figure)


@pytest.mark.parametrize(
    "lacking, named",
    [
        ({"xlabel": "step"}, "y"),
        ({"ylabel": "return"}, "x"),
        ({"xlabel": "step", "yscale": "log"}, "y"),
        ({"yticks": [], "xticks": [1, 2], "xticklabels": ["50k", "1.5M"]}, "x"),
    ],
)
def test_an_axis_of_numbers_needs_a_label(shown, lacking, named):
    figure, axes = plt.subplots()
    axes.plot([1, 100])
    axes.set(**lacking)
    with pytest.raises(ValueError, match=f"The {named} axis needs a label"):
        show(figure, "A line.")
    plt.close(figure)
