"""What a live panel says on the page, beside its picture: the table of runs, and words on errors."""

import html

from helpers.errors import SlipError

# What is on the page outlives its kernel: JupyterLab then marks it with a class of its own.
LOST = """<style>
.live-lost { display: none }
.jupyter-widgets-disconnected .live-lost { display: block; font-weight: bold }
</style><div class="live-lost">The kernel was restarted, so this panel does nothing any more: run its
cell again.</div>"""


def table(rows):
    style = "vertical-align: top; text-align: left; padding-right: 1.5em; line-height: 1.4"
    cell = f'<{{0}} style="{style}">{{1}}</{{0}}>'
    lines = [[cell.format("th", word) for word in ("line", "settings", "result")]]
    for row in rows:
        look, *rest = map(html.escape, row)
        look = f'<span style="white-space: nowrap">{look}</span>'
        lines.append([cell.format("td", text) for text in (look, *rest)])
    if not any(look for look, *_ in rows):
        lines = [cells for _, *cells in lines]
    body = "".join(f"<tr>{''.join(line)}</tr>" for line in lines)
    return f"<table>{body}</table>"


def status(fraction, words, paused, updating):
    """How a run stands (fraction None: there is none), and words on it."""
    if fraction is None:
        stands = ""
    elif fraction >= 1:
        stands = "Finished."
    elif paused and updating:
        stands = f"Pausing at {fraction:.0%}, once the update under way has ended."
    elif paused:
        stands = f"Paused at {fraction:.0%}: Resume goes on, Step makes one update."
    else:
        stands = f"Training, {fraction:.0%} done."
    return f"{stands} {words}".strip()


def explain(error):
    try:
        text = str(error)
    except Exception:
        text = "an error that cannot be told in words"
    if isinstance(error, SlipError):
        return f"Stopped: {text}"
    return (
        f"Training stopped by an error ({type(error).__name__}: {text}). "
        "The picture shows the last good state. Choose other values, or press Reset."
    )
