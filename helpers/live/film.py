"""A finished run as pictures to scrub through with a slider. Nothing moves by itself."""

import base64
import html

import ipywidgets as widgets

from helpers import in_foreground
from helpers.errors import SlipError
from helpers.live.controls import answer_at_once, close, image, look, replace_earlier


class Film:
    """A slider (drag it, or focus it and use the arrow keys), the picture at its place, and a
    caption below, which says in words what the picture shows.

    frames: PNG bytes of each picture, captions: a sentence for each. description: of the slider.
    Raises SlipError where there is no picture or not one caption for each.
    """

    def __init__(self, frames, captions, *, description):
        if not frames or len(frames) != len(captions):
            raise SlipError(
                "A film needs at least one frame and a caption for each frame, but got "
                f"{len(frames)} frames and {len(captions)} captions."
            )
        self._frames, self._captions = frames, captions
        style = look(description, width="36em", label_width="initial")
        self.slider = widgets.IntSlider(max=len(frames) - 1, **style)
        self._image = image(frames[0])
        self._caption = widgets.HTML(_spoken(captions[0]))
        self.slider.observe(self._show, "value")
        answer_at_once(self.slider)
        self._box = widgets.VBox([self.slider, self._image, self._caption])
        replace_earlier(self)

    def close(self):
        """Take the film off the page and free its memory."""
        close(self._box)
        self._frames = self._frames[:1] * len(self._frames)  # Out may keep the film: let go of them

    def _show(self, change):  # in whatever thread: it only hands over what was drawn before
        self._image.value = self._frames[change["new"]]
        self._caption.value = _spoken(self._captions[change["new"]])

    def _repr_mimebundle_(self, **_):
        data = {
            **self._box._repr_mimebundle_(),
            "text/plain": f"Slider: {self.slider.description}, {len(self._frames)} pictures.",
        }
        if not in_foreground():
            return data
        data["image/png"] = base64.b64encode(self._frames[-1]).decode()
        return data, {"image/png": {"alt": f"The last picture of the film. {self._captions[-1]}"}}


def _spoken(caption):
    return f'<div role="status" style="line-height: 1.4">{html.escape(caption)}</div>'
