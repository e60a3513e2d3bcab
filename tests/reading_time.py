"""How long does a lesson's core path take?

    python tests/reading_time.py [notebook ...]

Prints the minutes by section. A reader takes 200 words and 11 lines of code a minute and the minutes
that each exercise states, stays 2 minutes with a small exact panel, 4 with one that trains (it has a
learning rate), and half a minute each with a figure and a prediction. Folded answers are read; hints,
solutions, the glossary and folded code are not. What a heading calls optional does not count, nor what
comes under it.
"""

import re
import sys
from pathlib import Path

import nbformat

LESSONS = Path(__file__).resolve().parent.parent / "notebooks"
WORDS, LINES = 200, 11  # a minute
STAYS = {"LivePanel(": 2, "live.learning_rate(": 2, "map_panel(": 4, "plots.show(": 0.5}  # minutes
PREDICTION = 0.5
FOLDED = re.compile(r"<details>\s*<summary>(.*?)</summary>(.*?)</details>", re.DOTALL)
HEADING = re.compile(r"^(#{1,6}) (.*)$", re.MULTILINE)


def sections(nb):
    """(level, heading, minutes) of each part of the core path."""
    found, optional = [[0, "", 0.0]], 0  # optional: the level of the heading that said so
    for cell in nb.cells:
        if cell.cell_type == "code":
            found[-1][2] += 0 if optional else _code_minutes(cell)
            continue
        first, *rest = HEADING.split(FOLDED.sub(_what_is_read, cell.source))
        found[-1][2] += 0 if optional else _prose_minutes(first)
        for level, heading, text in zip(*(map(len, rest[::3]), rest[1::3], rest[2::3])):
            if not optional or level <= optional:
                optional = level if "optional" in heading.lower() else 0
            if not optional:
                exercise = re.search(r"^Exercise .* (\d+) minutes", heading)
                minutes = int(exercise[1]) if exercise else 0
                found.append([level, heading, minutes + _prose_minutes(f"{heading} {text}")])
    return [tuple(part) for part in found if part[2]]


def minutes(nb):
    """Minutes of the whole core path."""
    return sum(minutes for *_, minutes in sections(nb))


def _what_is_read(folded):
    return "" if re.match("Hint|Solution|Glossary", folded[1]) else folded[0]


def _prose_minutes(text):
    return len(text.split()) / WORDS + PREDICTION * len(re.findall(r"\*\*Predict", text))


def _code_minutes(cell):
    stays = sum(time for call, time in STAYS.items() if call in cell.source)
    stays += PREDICTION * cell.source.count("live.predict(")
    if cell.metadata.get("jupyter", {}).get("source_hidden") or "plots.show(" in cell.source:
        return stays
    return stays + sum(bool(line.strip()) for line in cell.source.splitlines()) / LINES


if __name__ == "__main__":
    for path in map(Path, sys.argv[1:]) if sys.argv[1:] else sorted(LESSONS.glob("*.ipynb")):
        parts = sections(nbformat.read(path, as_version=4))
        print(f"{path.stem}: {sum(minutes for *_, minutes in parts):.0f} minutes")
        for _, heading, time in parts:
            print(f"    {time:4.1f}  {heading}")
