"""Figures with alt text, and the band of a mean."""

import base64
import io
import warnings

import numpy as np
import pytest
from matplotlib import pyplot as plt
from PIL import Image

from helpers import plots
from helpers.plots import COLOURS, band, show


def pixels(png):
    image = Image.open(io.BytesIO(png))
    image.load()
    assert image.format == "PNG"
    return np.asarray(image)


@pytest.fixture
def shown(monkeypatch):
    """What was displayed: a list of (data, metadata)."""
    calls = []

    def display(data, metadata, raw):
        calls.append((data, metadata))

    monkeypatch.setattr(plots, "display", display)
    return calls


@pytest.mark.parametrize("foreground", [True, False])
def test_show_stores_the_alt_text_and_closes_the_figure(shown, monkeypatch, foreground):
    monkeypatch.setenv("COURSE_FOREGROUND", "1" if foreground else "")
    figure, axes = plt.subplots()
    axes.plot([1, 2])
    axes.set(xlabel="step", ylabel="return")
    show(figure, 'A line that "rises" from 1 < 2.')
    [(data, metadata)] = shown
    assert metadata == {"image/png": {"alt": 'A line that "rises" from 1 < 2.'}}
    assert pixels(base64.b64decode(data["image/png"])).shape[2] == 4
    assert plt.get_fignums() == [] and data["text/plain"] == "A figure."
    assert ("text/html" in data) != foreground
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


def test_an_axis_of_numbers_needs_a_label(shown):
    figure, (top, bottom) = plt.subplots(2, sharex=True)
    bottom.set(xlabel="step", ylabel="return")
    top.set(yticks=[0, 1], yticklabels=["gamma 0", "gamma 0.5"])
    show(figure, "The axis of steps is shared, the upper y axis has words.")
    assert len(shown) == 1
    for missing in ({"xlabel": "step"}, {"ylabel": "return"}, {"xlabel": "step", "yscale": "log"}):
        figure, axes = plt.subplots()
        axes.plot([1, 100])
        axes.set(**missing)
        with pytest.raises(ValueError, match="needs a label"):
            show(figure, "A line.")
        plt.close(figure)


def test_thousands_are_numbers_too(shown):
    figure, axes = plt.subplots()
    axes.set(xticks=[0, 1], xticklabels=["50k", "1.5M"], yticks=[])
    with pytest.raises(ValueError, match="The x axis"):
        show(figure, "Nothing but ticks.")
    plt.close(figure)
