"""The live panel: move a slider and an agent trains anew before your eyes.

    LivePanel(train, learning_curves(), gamma=gamma(0.99), lr=learning_rate(0.01), agents=agents(4))

A slider's callback may run in a thread of its own while cells execute. So it does nothing but note
the newest values; one worker thread trains, draws and reports, and ends when nothing is left to do.
"""

import base64
import html
import math
import threading
import time

import ipywidgets as widgets

from helpers import in_foreground
from helpers.errors import SlipError
from helpers.live.controls import (
    answer_at_once,
    button,
    check_value,
    close,
    image,
    label,
    replace_earlier,
)
from helpers.live.page import LOST, explain, status, table
from helpers.live.picture import items_of, words_of

FRAME_SECONDS = 0.05  # at most 20 pictures a second
QUIET_SECONDS = 0.25  # after which the picture that stays is drawn finely, which takes longer
FINE = 2  # so many times: it is sharp on a dense screen


class LivePanel:
    """Controls, a picture, and one worker thread between them.

    train: train(**values) makes a generator; its items have `fraction` (1.0 at the end) and may
        have words(), a sentence on how it is going. Each item is one Step. Between items that take
        long it may yield None: there the run can be left for a newer one, or because Python ends.
        What takes no time may return its only item.
    picture: has restart(settings), add(item), keep(), png(scale), rows() and width, as Picture.
    controls: ipywidgets with a value, under the names of train's arguments.
    pointers: names of controls that train nothing anew: look(**values) lets them point the picture at
        something else.

    latest: the newest item, or None. Where the environment variable COURSE_FOREGROUND is set (by
    tests and authors) everything runs at once in the calling thread, and errors are raised.
    """

    def __init__(self, train, picture, *, look=None, pointers=(), **controls):
        for name, control in controls.items():
            if not hasattr(control, "value"):
                raise SlipError(f"{name} needs a control, such as slider(...), but is {control!r}.")
        self.latest = None
        self._train, self._picture, self._controls = train, picture, controls
        self._look, self._pointers = look, {*pointers}
        self._initial = self.values
        self._foreground = in_foreground()
        # Guards all that follows, and may be taken twice. An interrupt of a cell may come between any
        # two lines of Python, those within a Condition's own `with` included: it would stay taken.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)  # only waited for and notified
        self._worker = None  # the thread, while there is something to do
        self._wanted = None  # values to train next: the newest win
        self._looking = False  # whether a pointer has moved since the last picture
        self._run = None  # the generator under way
        self._paused = False
        self._item = None  # the newest of the run under way
        self._updating = False  # whether an update is under way
        self._steps = 0  # single updates asked for while paused
        self._held = False  # True while set() moves several controls
        self._closed = False
        self._report = None, "Warming up."  # the fraction done (None: no run), and words on it
        self._drawn, self._coarse = -math.inf, False
        self._build()
        replace_earlier(self)
        self._ask()

    @property
    def values(self):
        """What the controls say now, by name."""
        return {name: control.value for name, control in self._controls.items()}

    def set(self, **values):
        """Move controls as a learner would. Raises SlipError for a name or value out of range."""
        for name, value in values.items():
            check_value(name, value, self._controls)
        with self._lock:
            self._held = True
            try:
                for name, value in values.items():
                    self._controls[name].value = value
            finally:
                self._held = False
        self._ask(pointing=self._pointers.issuperset(values))

    def wait(self, timeout=60):
        """Wait until the newest values are trained to the end; returns the panel's status in words.

        A paused panel returns at once and says so. Raises TimeoutError after `timeout` seconds.
        """
        with self._lock:
            if not self._changed.wait_for(lambda: self._worker is None, timeout):
                raise TimeoutError(
                    f"The panel is still training after {timeout} seconds: wait longer, "
                    "or choose fewer agents."
                )
            return self._words

    def close(self):
        """Stop training, take the panel off the page and free its memory."""
        with self._lock:
            if self._closed:
                return
            self._wanted, self._run, self._looking = None, None, False
            self._tell(None, "This panel is closed. Run its cell again for a new one.")
            self._closed = True
            self._changed.notify_all()
            if self._worker is None:
                self._rest()
        for control in self._controls.values():
            control.unobserve(self._heard, "value")
        shared = [control for control in self._controls.values() if control.panel is not self]
        close(self._box, keep=shared)

    # What follows runs in the worker thread.

    def _work(self):
        while not _ending() and (task := self._next_task()) is not None:
            try:
                task()
            except BaseException as error:  # told in the status: nobody would see a traceback
                with self._lock:
                    self._run = None
                self._tell(None, explain(error))
                if self._foreground:
                    self._worker = None
                    raise

    def _next_task(self):
        """What to do next, taken and decided at once so that no other thread comes between."""
        with self._lock:
            if self._wanted is not None:
                values, self._wanted = self._wanted, None
                return lambda: self._start(values)
            if self._looking:
                return self._turn
            if self._going():
                run, self._steps = self._run, max(0, self._steps - 1)
                return lambda: self._advance(run)
            if self._coarse and not self._closed and not self._foreground:
                self._tell()
                more = self._changed.wait_for(self._asked, QUIET_SECONDS)
                return self._next_task() if more else self._refine
            self._rest()
            return None

    def _going(self):
        return self._run is not None and (self._steps or not self._paused)

    def _asked(self):
        return self._wanted is not None or self._looking or self._going() or self._closed

    def _rest(self):
        self._worker = None
        if self._paused:
            self._tell()
        if self._closed:  # IPython's Out may keep the panel for ever: let go of what is large
            self._train = self._picture = None
        self._changed.notify_all()

    def _start(self, values):
        run = items_of(self._train(**values))
        self._aim()
        self._picture.restart(label(values, self._controls))
        self._show(0.0, "")
        self._drawn, self._item = -math.inf, None  # the first update is drawn whenever it comes
        with self._lock:
            self._run = None if self._closed else run

    def _advance(self, run):
        try:
            self._updating = True
            item = next((item for item in run if item is not None or self._left()), None)
        except BaseException:
            self._updating = False
            self._draw()  # the last good state may have come too soon for a picture
            raise
        with self._lock:
            self._updating = False
            if item is None:
                self._run = None
                if not self._left():
                    self._tell_end(self._item)
            if run is not self._run:  # ended, or the panel was closed meanwhile
                return
        self.latest = self._item = item
        self._picture.add(item)
        late = time.monotonic() - self._drawn > FRAME_SECONDS
        if late or self._paused or item.fraction >= 1:
            self._show(item.fraction, words_of(item))
            self._drawn = time.monotonic()

    def _left(self):
        """Whether nobody waits for the run under way any more."""
        return self._wanted is not None or self._closed or _ending()

    def _tell_end(self, last):
        """Of a run that has no more items, though its last one (or None) was not at fraction 1."""
        fraction = last.fraction if last else 0
        if fraction < 1:
            self._draw()
            words = f"Ended at {fraction:.0%}: there is nothing more to train. {words_of(last)}"
            self._tell(None, words)

    def _show(self, fraction, words):
        self._draw()
        self._progress.value = fraction or 0
        self._tell(fraction, words)

    def _turn(self):
        """Show the newest item anew, as a pointer has moved."""
        self._aim()
        fraction, words = self._report
        self._show(fraction, words if None in (fraction, self._item) else words_of(self._item))

    def _aim(self):
        self._looking = False
        if self._look:
            self._look(**{name: self._controls[name].value for name in self._pointers})

    def _draw(self):
        self._coarse = True
        self._image.value = self._picture.png()
        self._table.value = table(self._picture.rows())

    def _refine(self):
        self._coarse = False
        self._image.value = self._picture.png(FINE)

    def _tell(self, *report):
        """Say how things stand; without a report, the last one and whether the panel is paused."""
        with self._lock:
            if self._closed:
                return
            fraction, words = self._report = report or self._report
            self._words = status(fraction, words, self._paused, self._updating)
            self._status.value = f'<div style="line-height: 1.4">{html.escape(self._words)}</div>'

    # What follows runs in the callers' threads.

    def _heard(self, change):
        """A control has moved."""
        self._ask(pointing=any(change.owner is self._controls[name] for name in self._pointers))

    def _ask(self, pointing=False):
        """Ask for a run with the newest values, or for a look at what the pointers now point at."""
        with self._lock:
            if self._held or self._closed:
                return
            if pointing:
                self._looking = True
            else:
                self._wanted = self._settings()
        self._wake()

    def _settings(self):
        """The values that train wants."""
        return {name: v for name, v in self.values.items() if name not in self._pointers}

    def _wake(self):
        with self._lock:
            if self._worker is not None:
                self._changed.notify_all()  # it may be about to rest
                return
            # Noted before it starts, since an interrupt of the cell may come while it does.
            # A slider is heard in a daemon's thread, and its thread would be a daemon by itself.
            self._worker = threading.Thread(target=self._work, daemon=False)
            if not self._foreground:
                try:
                    self._worker.start()  # it waits for this lock
                except RuntimeError:  # no thread to be had
                    self._worker = None
                    raise
        if self._foreground:
            self._work()

    def _pause(self, paused, steps=0):
        """Pause, for so many more updates, or go on. A finished run is stepped through anew."""
        with self._lock:
            fraction, _ = self._report
            resting = self._worker is None or (self._run is None and self._wanted is None)
            if steps and resting and fraction is not None and fraction >= 1:
                self._wanted = self._settings()
            self._paused = paused
            self._steps = self._steps + steps if paused else 0
            self._pause_button.description = "Resume" if paused else "Pause"
            self._tell()
        self._wake()

    def _keep(self):
        with self._lock:
            if not self._closed:
                self._picture.keep()
                self._table.value = table(self._picture.rows())

    def _reset(self):
        self.set(**self._initial)
        self._pause(False)

    def _build(self):
        kept = "Let no later run push this one out, or let it go again"
        actions = {
            "Pause": ("Stop for a while, or go on", lambda _: self._pause(not self._paused)),
            "Step": ("Make a single update, then pause", lambda _: self._pause(True, steps=1)),
            "Reset": ("Put all controls back and start over", lambda _: self._reset()),
            "Keep": (kept, lambda _: self._keep()),
        }
        buttons = [button(name, *action) for name, action in actions.items()]
        self._pause_button = buttons[0]
        self._progress = widgets.FloatProgress(0, min=0, max=1, layout={"width": "20em"})
        self._image = image(self._picture.png(), width=f"{self._picture.width}px")
        self._status, self._table = widgets.HTML(), widgets.HTML()
        self._status.add_class("live-status")
        self._tell()
        controls = widgets.HBox(list(self._controls.values()), layout={"flex_flow": "row wrap"})
        bar = widgets.HBox([*buttons, self._progress])
        told = [widgets.HTML(LOST), self._status]
        self._box = widgets.VBox([controls, bar, *told, self._image, self._table])
        for control in self._controls.values():
            control.panel = self  # of several panels with one control, the newest closes it
            control.observe(self._heard, "value")
            answer_at_once(control)

    def _repr_mimebundle_(self, **_):
        if self._closed:
            return {"text/plain": self._words}
        names = ", ".join(control.description for control in self._controls.values())
        plain = f"Live panel with controls: {names}."
        data = {**self._box._repr_mimebundle_(), "text/plain": plain}
        if not self._foreground:
            return data
        data["image/png"] = base64.b64encode(self._image.value).decode()
        runs = "; ".join(f"{settings}: {result}" for _, settings, result in self._picture.rows())
        return data, {"image/png": {"alt": f"The live panel's picture after its first run. {runs}"}}


def _ending():
    """Whether Python ends, for which it waits for the worker: to be ended within PyTorch is to abort."""
    return not threading.main_thread().is_alive()
