"""The lessons as they are stored: what a reader on GitHub sees, and what a diff shows."""

import itertools
import json
import re
from pathlib import Path

import pytest
from execute_notebooks import LESSONS, METADATA, is_normal, normalise, problems, warnings
from lesson_cells import EXAMPLE, PATHS, each_lesson, read
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

ROOT = LESSONS.parent
DOCUMENTS = [*ROOT.glob("*.md"), *EXAMPLE.parent.glob("*.md")]
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HEADING = re.compile(r"^(#{1,6})\s", re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:src|href)=[\"']([^\"']+)")
FOLD = re.compile(r"</summary>(?!\n\n)|</details>(?!\s*(?:\n\n|$)|\n<details>)")
ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|#|//", re.IGNORECASE)


def executed(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code" and cell.source.strip()]


def markdown(nb):
    """The text of the Markdown cells, without the code in it."""
    cells = (cell.source for cell in nb.cells if cell.cell_type == "markdown")
    return CODE.sub("", "\n\n".join(cells))


def missing_links(text, folder):
    """The local files that text links to and that do not exist."""
    targets = (inline or attribute for inline, attribute in LINK.findall(text))
    local = (t.partition("#")[0].partition("?")[0] for t in targets if not ELSEWHERE.match(t))
    return [target for target in local if not (folder / target).exists()]


def skipped_levels(text):
    """Pairs of neighbouring headings of which the second is more than one level deeper."""
    levels = [len(hashes) for hashes in HEADING.findall(text)]
    return [pair for pair in zip([0, *levels], levels) if pair[1] > pair[0] + 1]


def images_without_alt(nb):
    return [
        (number, mime)
        for number, cell in enumerate(nb.cells)
        for output in cell.get("outputs", [])
        for mime in output.get("data", {})
        if mime.startswith("image/") and not output.metadata.get(mime, {}).get("alt", "").strip()
    ]


@each_lesson
def test_is_stored_as_executed_in_order_and_normalised(path):
    assert is_normal(path), f"run: python tests/execute_notebooks.py {path.relative_to(ROOT)}"
    nb = read(path)
    cells = executed(nb)
    assert problems(nb) == warnings(nb) == []
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [o.ename for cell in cells for o in cell.outputs if o.output_type == "error"] == []
    ids = [cell.get("id") for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
    assert all(ids) and len(set(ids)) == len(ids)  # nbformat would mend them
    assert path.stat().st_size < 1.5e6


@each_lesson
def test_its_cells_are_the_courses(path):
    """What draws is wrapped for those who unfold it; sliders step through places that have numbers,
    and a typed number is read by us."""
    sources = [cell.source for cell in executed(read(path))]
    drawn = [line for x in sources if "plots.show(" in x for line in x.splitlines()]
    assert [line for line in drawn if len(line) > 100] == []
    foreign = r"\w*(?:FloatSlider|FloatLogSlider|SelectionSlider|IntSlider)"
    assert re.findall(foreign, "\n".join(sources)) == []


@each_lesson
def test_its_text_is_a_tree_of_headings_with_links_that_lead_somewhere_and_alt_texts(path):
    text = markdown(read(path))
    assert [len(hashes) for hashes in HEADING.findall(text)].count(1) == 1
    assert skipped_levels(text) == []
    assert FOLD.findall(text) == [], "without an empty line what follows shows as it is written"
    assert missing_links(text, path.parent) == []
    assert images_without_alt(read(path)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_links_of_the_documents_lead_somewhere(path):
    assert missing_links(CODE.sub("", path.read_text(encoding="utf-8")), path.parent) == []


def test_readme_has_small_pictures_with_alt_text_and_a_film_that_plays_once():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    described = re.findall(r'<img src="(\S+)" width="\d+" alt="[^"]{50,}">', readme)
    assert len(described) == len(re.findall(r"<img|!\[", readme)) == 2
    named = {*described, *re.findall(r'srcset="(\S+)"', readme)}
    pictures = [path for path in (ROOT / ".github").iterdir() if path.is_file()]
    assert {f".github/{path.name}" for path in pictures} == named
    assert sum(path.stat().st_size for path in pictures) <= 1e6
    with Image.open(ROOT / described[0]) as film:
        assert film.is_animated and "loop" not in film.info


def test_readme_maps_the_lessons_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    mapped = re.findall(r"^\| \[\d\d\]\(notebooks/(\S+\.ipynb)\)", readme, re.MULTILINE)
    assert mapped == [path.name for path in PATHS] != []


@pytest.mark.parametrize(
    "path, following", [*itertools.pairwise(PATHS)], ids=lambda path: path.stem
)
def test_each_lesson_ends_with_a_link_to_the_next(path, following):
    assert f"]({following.name})" in read(path).cells[-1].source.split("\n\n")[-1]


@pytest.mark.parametrize("path", PATHS[5:], ids=lambda path: path.stem)
def test_recall_reaches_back(path):
    """At least one question names an earlier lesson."""
    (_, recall) = markdown(read(path)).split("## Recall\n")
    questions = " ".join(re.findall(r"<summary>(.*?)</summary>", recall))
    named = re.findall(r"\blesson (\d\d)\b", questions, re.IGNORECASE)
    assert [number for number in named if number < path.stem[:2]] != []


def test_normalising_removes_what_changes_and_nothing_else():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "random"}}
    outputs = [
        new_output("stream", name="stdout", text="a"),
        new_output("stream", name="stdout", text="b"),
        new_output("display_data", data=view),
        new_output("display_data", data={**view, "text/plain": "panel", "image/png": "iVBO"}),
    ]
    metadata = {"execution": {"iopub.status.busy": "now"}, "tags": ["kept"]}
    cell = new_code_cell("1", outputs=outputs, metadata=metadata, execution_count=1)
    stored = {"widgets": {"state": {}}, "language_info": {"name": "python", "version": "3.11.7"}}
    nb = normalise(new_notebook(cells=[cell], metadata=stored))
    assert nb.metadata == METADATA
    assert cell.metadata == {"tags": ["kept"], "jupyter": {"outputs_hidden": True}}
    assert cell.outputs == [
        new_output("stream", name="stdout", text=" \nab"),
        new_output("display_data", data={"text/plain": "panel", "image/png": "iVBO"}),
    ]


def test_normalising_hides_what_a_cell_shows_and_folds_what_draws():
    result = {"text/html": "<b>1</b>", "text/plain": "1", "image/png": "iVBO"}
    outputs = [new_output("display_data", data=result), new_output("stream", text="kept")]
    cell = new_code_cell("plots.show(figure, 'alt')", outputs=outputs)
    for _ in range(2):  # once more changes nothing
        normalise(new_notebook(cells=[cell]))
        assert cell.metadata.jupyter == {"outputs_hidden": True, "source_hidden": True}
        blank = {"text/html": " \n<b>1</b>", "text/plain": " \n1", "image/png": "iVBO"}
        assert cell.outputs[0].data == blank and cell.outputs[1].text == "kept"


def test_the_checks_can_fail():
    outputs = [
        new_output("execute_result", data={"text/plain": "<object at 0x7f3c5e0b2d10>"}),
        new_output("stream", name="stderr", text="/tmp/ipykernel_123/1.py: UserWarning"),
        new_output("display_data", data={"image/png": "iVBO"}),
    ]
    nb = new_notebook(cells=[new_code_cell("x", outputs=outputs)])
    assert (len(problems(nb)), len(warnings(nb))) == (2, 1)
    assert images_without_alt(nb) == [(0, "image/png")]
    text = '[a](gone.ipynb#part) ![b](https://x.org/b.png) [c](#d) <img src="gone.png">'
    assert missing_links(text, Path()) == ["gone.ipynb", "gone.png"]
    assert skipped_levels("# a\n\n### b\n") == [(1, 3)]
    assert len(FOLD.findall("<summary>a</summary>\nb\n\n</details>\n## c")) == 2
