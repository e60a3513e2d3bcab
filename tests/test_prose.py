"""The lessons' prose against what their cells compute, and against lesson 00's table of notation.

A number in prose is backed if the same section, up to the next heading, has it in code, in what the
code printed or in the alt text of a figure. A section without code (summary, recall) may repeat
what any section shows. A printed number backs its roundings, and 0.48 backs 48 %. Not looked at:
whole numbers up to 2, minutes, years in citations, numbers of lessons, sections and list items, and
further reading. What a cell shows that another processor would give otherwise (see nudge.py) backs
nothing, and the alt text that is written out in such a cell is prose itself. All others stand in
prose_numbers.toml, each with the reason why no cell is needed:

    "phrase that holds the number" = "= what Python computes it from"
    "phrase that holds the number" = "definition: ..." (or setting, citation)
    "phrase that holds the number" = "tested: tests/file.py::test_name"
"""

import ast
import functools
import math
import re
import tomllib
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from lesson_cells import PATHS, each_lesson, read
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from nudge import TAG, is_tagged

from helpers import exact
from helpers.envs.gridworld import grid
from helpers.training import CARTPOLE

ROOT = Path(__file__).parent.parent
REVIEWED = tomllib.loads((ROOT / "tests" / "prose_numbers.toml").read_text(encoding="utf-8"))

FENCES = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
NO_PROSE = re.compile(r"`[^`\n]*`|\]\([^)]*\)|https?://\S+|</?[a-z][^>\n]*>", re.IGNORECASE)
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
NO_CLAIM = re.compile(
    r"^\s*\d+\.\s"  # of a list, also in a summary
    r"|^\|.*\bminutes\b.*(?:\n\|.*)*|\b\d+ minutes\b"
    r"|\b(?:lesson|section|exercise|chapter|part|example|equation|figure|hint)s?\s"
    r"\d+(?:\.\d+)*(?:(?:,| and| or| to) \d+(?:\.\d+)*)*"
    r"|(?:\bin |[,(] ?|\bal\.,? )(?:19|20)\d\d\b(?=[\s).,;:])",
    re.MULTILINE | re.IGNORECASE,
)
THOUSANDS = r"\d{1,3}(?:,\d{3})+"
CLAIM = re.compile(rf"(?<![\w.])([-−]?)((?:{THOUSANDS}|\d+)(?:\.\d+)?)(?!\w)( ?%)?")
SHOWN = re.compile(rf"-?(?:{THOUSANDS}|\d[\d_]*)(?:\.\d*)?(?:e[-+]?\d+)?")


def sections(nb):
    """(heading, prose, what cells show) of each section, prose with spaces for all white space."""
    found = [["", "", ""]]
    for cell in nb.cells:
        if cell.cell_type == "code" and is_tagged(cell):
            found[-1][1] += "\n\n" + " ".join(part.value for part in alt_strings(cell.source))
            found[-1][2] += f"\n{code_alone(cell.source)}"
            continue
        if cell.cell_type == "code":
            found[-1][2] += f"\n{shown(cell)}"
            continue
        before, *rest = HEADING.split(FENCES.sub("", cell.source))
        found[-1][1] += f"\n\n{before}"
        found += [[heading, prose, ""] for heading, prose in zip(rest[::2], rest[1::2])]
    return found


def shown(cell):
    """Source, printed text and alt texts."""
    parts = [cell.source]
    for output in cell.outputs:
        parts += [output.get("text", ""), output.get("data", {}).get("text/plain", "")]
        parts += [entry.get("alt", "") for entry in output.get("metadata", {}).values()]
    return "\n".join(parts)


def alt_strings(source):
    """The string constants of the alt texts in a cell that draws, as nodes of its syntax tree."""
    calls = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
    alts = [call.args[1] for call in calls if ast.unparse(call.func) == "plots.show"]
    parts = [node for alt in alts for node in ast.walk(alt) if isinstance(node, ast.Constant)]
    return [part for part in parts if isinstance(part.value, str)]


def code_alone(source):
    """The source without what is written in its alt texts."""
    lines = source.splitlines()
    for part in alt_strings(source):
        for number in range(part.lineno - 1, part.end_lineno):
            lines[number] = ""
    return "\n".join(lines)


def claims(prose):
    """The prose in one line, and the matches of the numbers in it that need to be backed."""
    text = NO_CLAIM.sub(" ", NO_PROSE.sub(" ", prose).replace("{,}", ","))
    text = " ".join(text.split())
    return text, [m for m in CLAIM.finditer(text) if m[2] not in {"0", "1", "2"}]


def as_number(text):
    return float(text.replace(",", "").replace("_", ""))


def is_backed(claim, numbers):
    sign, digits, percent = claim.groups()
    value, half = as_number(digits), 0.5000001 * 10.0 ** -len(digits.partition(".")[2])
    near = [x * (100 if percent else 1) for x in numbers] + numbers
    return any(abs(value - (-x if sign else abs(x))) < half for x in near)


def unbacked(nb):
    """(prose, match) of each number that no cell beside it shows."""
    everything = "\n".join(cells for _, _, cells in sections(nb))
    for heading, prose, cells in sections(nb):
        if heading == "Further reading":
            continue
        numbers = [as_number(x) for x in SHOWN.findall(cells.strip() or everything)]
        text, found = claims(prose)
        yield from ((text, claim) for claim in found if not is_backed(claim, numbers))


def covers(phrase, text, claim):
    """Whether the number stands within one of the phrase's occurrences in the text."""
    starts = [m.start() for m in re.finditer(re.escape(phrase), text)]
    return any(start <= claim.start() and claim.end() <= start + len(phrase) for start in starts)


def open_questions(nb, reviewed):
    """What is neither shown nor reviewed, and which reviewed phrases are of no use any more."""
    left, used = [], set()
    for text, claim in unbacked(nb):
        phrases = {phrase for phrase in reviewed if covers(phrase, text, claim)}
        used |= phrases
        if not phrases:
            left.append(text[max(0, claim.start() - 40) : claim.end() + 25])
    return left, sorted(set(reviewed) - used)


@each_lesson
def test_each_number_is_shown_or_reviewed(path):
    assert open_questions(read(path), REVIEWED.get(path.stem, {})) == ([], [])


def reason_is_good(phrase, reason):
    kind, _, words = reason.partition(":")
    if reason.startswith("="):
        value = eval(reason[1:], {"gymnasium": gymnasium, "CARTPOLE": CARTPOLE, **vars(math)})
        _, found = claims(phrase)
        return any(is_backed(claim, [value]) for claim in found)
    if kind == "tested":
        file, _, name = words.strip().partition("::")
        return f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")
    return kind in {"definition", "setting", "citation"} and words.strip() != ""


def test_reviewed_numbers_belong_to_lessons_and_reasons_are_good():
    assert set(REVIEWED) <= {path.stem for path in PATHS}
    pairs = [pair for reviewed in REVIEWED.values() for pair in reviewed.items()]
    assert [pair for pair in pairs if not reason_is_good(*pair)] == []


def test_pushing_at_random_gets_about_20():
    worlds = gymnasium.make_vec("CartPole-v1", num_envs=100)
    worlds.reset(seed=0)
    rng, episodes = np.random.default_rng(0), 0
    for _ in range(500):
        *_, terminated, _, _ = worlds.step(rng.integers(2, size=100))
        episodes += terminated.sum()
    assert 500 * 100 / episodes - 1 == pytest.approx(22, abs=2)  # each reset takes a step too


def test_the_hopeful_policys_values():
    hopeful = torch.tensor([1.0, 1, 0, 0], dtype=torch.float64).softmax(0).expand(25, 4)
    values = exact.state_values(grid(5), hopeful, 1.0)[:-1]
    assert 0.79 < values.min() and values.max() < 1


# --- references ----------------------------------------------------------------------------------

SECTION = re.compile(
    r"(?:\blesson (\d\d), )?\bsection (\d+)(?!\.?\d)(?: of lesson (\d\d))?", re.IGNORECASE
)
ANCHOR = re.compile(r"\]\(\s*<?([^)\s>#]*)#([^)\s>]+)")


def all_prose(nb):
    """Each section's prose as one line, further reading left out."""
    prose = [prose for heading, prose, _ in sections(nb) if heading != "Further reading"]
    return [" ".join(NO_PROSE.sub(" ", text).split()) for text in prose]


def headings(nb):
    return [heading for heading, _, _ in sections(nb)]


def dangling(nb, lessons):
    """References to sections, exercises and lessons that do not exist; lessons: {number: nb}."""
    found = []
    planned = re.findall(r'\["(\d\d)\b', "".join(cell.source for cell in lessons["00"].cells))
    for text in all_prose(nb):
        for before, section, after in SECTION.findall(text):
            there = headings(lessons.get(before or after, nb))
            if not any(heading.startswith(f"{section} ") for heading in there):
                found.append(f"section {section}")
        for exercise, lesson in re.findall(r"\bexercise ((\d+)\.\d+)", text, re.IGNORECASE):
            there = headings(lessons[lesson.zfill(2)]) if lesson.zfill(2) in lessons else []
            if there and not any(heading.startswith(f"Exercise {exercise} ") for heading in there):
                found.append(f"exercise {exercise}")
        for lesson in re.findall(r"\blessons? (\d\d)\b", text, re.IGNORECASE):
            if lesson not in {*lessons, *planned}:
                found.append(f"lesson {lesson}")
    return found


def dead_anchors(text, own, folder):
    """Links to headings that their file does not have; JupyterLab writes them with dashes."""
    dead = []
    for file, anchor in ANCHOR.findall(text):
        if not re.match(r"[a-z]+:", file):
            there = headings(read(folder / file)) if file.endswith(".ipynb") else own
            if anchor not in {heading.replace(" ", "-") for heading in there}:
                dead.append(f"{file}#{anchor}")
    return dead


@functools.cache
def all_lessons():
    return {path.stem[:2]: read(path) for path in PATHS}


@each_lesson
def test_references_lead_somewhere(path):
    nb, lessons = read(path), all_lessons()
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    assert dangling(nb, lessons) == []
    assert dead_anchors(FENCES.sub("", text), headings(nb), path.parent) == []


def images_without_alt(text):
    return re.findall(r"!\[\s*\]\([^)]*\)|<img(?![^>]*\balt=[\"'][^\"'])[^>]*>", text)


@pytest.mark.parametrize("path", [*PATHS, *ROOT.glob("*.md")], ids=lambda path: path.stem)
def test_linked_images_have_alt_text(path):
    if path.suffix == ".md":
        assert images_without_alt(path.read_text(encoding="utf-8")) == []
    else:
        assert images_without_alt("\n".join(prose for _, prose, _ in sections(read(path)))) == []


# --- vocabulary ----------------------------------------------------------------------------------

# The words of lesson 00's table and glossary, and what the lessons do not say in their place.
INSTEAD = {
    "learning rate": r"step[ -]?sizes?",
    "discount": r"discount(ing)? (factor|rate)s?",
    "return": r"(cumulative|accumulated) rewards?|total discounted reward",
    "policy": r"strateg(y|ies)",
    "state": r"observations?",
    "step": r"time-?steps?",
    "episode": r"trials?",
    "TD error": r"(TD|temporal[ -]difference)-errors?|temporal difference errors?",
    "expected return from state": r"(state-)?value functions?|state-values?",
    "action_values": r"[Qq]-(values?|functions?)|action-values?",
    "Actor": r"policy networks?",
    "Critic": r"value networks?",
    "Baseline": r"control variates?",
    "Rollout": r"roll-outs?",
    "truncated": r"timed[ -]out|time-?outs?",
    "seed": r"random states?",
    "parameters": r"hyper-?parameters?",
}
AMERICAN = r"\w*(?:[lmrt]iz(?:e|es|ed|er|ers|ing|ations?)|behaviors?|colors?|colored|favor\w*)"
FORMULA = re.compile(r"\${1,2}[^$]+\${1,2}")
SIGNS = {r"\alpha": r"\\eta\b", "r_t": r"R_\{?[tk]\b", r"\lambda": r"\\lambda_t"}


def mixed_words(nb):
    """What stands in the prose or an alt text for a word that the course has another word for."""
    outputs = [output for cell in nb.cells for output in cell.get("outputs", [])]
    alts = [e.get("alt", "") for o in outputs for e in o.get("metadata", {}).values()]
    text = "\n".join([*all_prose(nb), *alts])
    formulas = " ".join(FORMULA.findall(text))
    words = [rf"\b(?:{other})\b" for other in INSTEAD.values()] + [rf"\b{AMERICAN}\b"]
    found = [m[0] for word in words for m in re.finditer(word, FORMULA.sub(" ", text))]
    return found + [m[0] for sign in SIGNS.values() for m in re.finditer(sign, formulas)]


@each_lesson
def test_one_vocabulary(path):
    assert mixed_words(read(path)) == []


def test_the_vocabulary_is_that_of_lesson_00():
    (table,) = [p for heading, p, _ in sections(read(PATHS[0])) if heading == "Words and signs"]
    assert [word for word in [*INSTEAD, *SIGNS] if word not in table] == []


# --- these tests can fail ------------------------------------------------------------------------


def lesson(prose, source="", printed="", alt=""):
    outputs = [
        new_output("stream", text=printed),
        new_output("display_data", {"image/png": ""}, metadata={"image/png": {"alt": alt}}),
    ]
    cells = [new_markdown_cell(f"# L\n\n{prose}"), new_code_cell(source, outputs=outputs)]
    return new_notebook(cells=[*cells, new_markdown_cell("## 2 Next"), new_code_cell("9.75")])


@pytest.mark.parametrize(
    ("prose", "left"),
    [
        ("It gets 3.14 or 3.1.", 0),
        ("It gets 3.15.", 1),
        ("It gets 48 % of 100,000.", 0),
        ("It gets 47 %.", 1),
        ("It loses −7.5.", 0),
        ("It loses -3.14.", 1),
        ("By $2^{17}$ it is $9.75$.", 2),
        ("In lesson 04, section 7 and 8, 12 minutes; Sutton (1998), in 2014, et al., 2000.", 0),
        ("1. one\n12. two, 0 to 2\n\n| | minutes |\n|---|---|\n| 3 x | 33 |", 0),
        ("`77` and\n```\n88\n```\nand [b](c/99).", 0),
        ("The picture shows 64 dots.", 0),
    ],
)
def test_numbers_are_found(prose, left):
    nb = lesson(prose, "f(100_000)", "3.1416 0.48 -7.5", "64 dots")
    assert len(list(unbacked(nb))) == left


def test_what_varies_by_processor_backs_nothing():
    source = (
        'n = 16\nplots.show(\n    fig,\n    "Of 16 agents 7 are stuck: "\n    f"{stuck} of 16.",\n)'
    )
    nb = lesson("It gets 3.14 from 16 agents.", source, "3.14", "Of 16 agents 7 are stuck")
    assert list(unbacked(nb)) == []
    nb.cells[1].metadata.tags = [TAG]
    assert [claim[0] for _, claim in unbacked(nb)] == ["3.14", "7"]


def test_a_summary_may_repeat_what_any_section_shows():
    nb = lesson("")
    nb.cells.append(new_markdown_cell("## Summary\n\n9.75 and 9.76\n\n## Further reading\n\n5.5"))
    assert [m[0] for _, m in unbacked(nb)] == ["9.76"]


def test_the_reviewed_list_holds_what_is_needed_with_good_reasons():
    nb = lesson("It gets 3.15, and 4.15 too.")
    assert open_questions(nb, {"gets 3.15": ""}) == (["It gets 3.15, and 4.15 too."], [])
    assert open_questions(nb, {"gets 3.15": "", "and 4.15": "", "gone 5": ""}) == ([], ["gone 5"])
    for reason in ("because", "setting: ", "tested: tests/test_prose.py::test_gone", "= 0.3 + 0.5"):
        assert not reason_is_good("at 5", reason)


def test_what_is_amiss_is_found():
    nb = lesson("See section 2, section 3, exercise 4.7, lesson 77, [a](#2-Next), [b](#3-Next).")
    map_of_lessons = new_notebook(cells=[new_markdown_cell('## Exercise 4.1 x\n["06 Agent"]')])
    found = dangling(nb, {"00": map_of_lessons, "04": map_of_lessons})
    assert found == ["section 3", "exercise 4.7", "lesson 77"]
    assert dead_anchors(nb.cells[0].source, headings(nb), ROOT) == ["#3-Next"]
    bad = ["![](a.png)", '<img src="b.png">', '<img alt="" src="c.png">']
    assert images_without_alt(" ".join([*bad, '![d](d.png) <img src="e.png" alt="e">'])) == bad
    nb = lesson(r"The step size $\eta$, a discount factor, to optimize; `envs`.", alt="In color.")
    assert mixed_words(nb) == ["step size", "discount factor", "optimize", "color", r"\eta"]
