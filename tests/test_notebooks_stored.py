"""The lessons as they are stored: what a reader on GitHub sees, and what a diff shows."""

import json
import re
from pathlib import Path

import nbformat
import pytest
from execute_notebooks import LESSONS, METADATA, is_normal, normalise, problems, warnings
from lesson_cells import PATHS, each_lesson, read

ROOT = LESSONS.parent
CODE = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
HEADING = re.compile(r"^(#{1,6})\s", re.MULTILINE)
LINK = re.compile(r"\]\(\s*<?([^)\s>]+)|(?:src|href)=[\"']([^\"']+)")
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
def test_is_normalised(path):
    assert is_normal(path), f"run: python tests/execute_notebooks.py notebooks/{path.name}"
    assert problems(read(path)) == []


@each_lesson
def test_nothing_is_given_away_when_it_is_opened(path):
    """Outputs stay hidden until their cell has run, and their first line is shown by JupyterLab;
    what draws is folded, and its lines wrapped for those who unfold it."""
    for cell in executed(read(path)):
        assert cell.metadata.jupyter.outputs_hidden
        texts = [cell.outputs[0].get("data", cell.outputs[0])] if cell.outputs else []
        assert [t for x in texts for k, t in x.items() if k[:4] == "text" and t[:2] != " \n"] == []
        if "plots.show(" in cell.source:
            assert cell.metadata.jupyter.source_hidden
            assert max(map(len, cell.source.splitlines())) <= 100, cell.source


@each_lesson
def test_its_sliders_are_the_courses(path):
    """The browser steps through places that have numbers, and a typed number is read by us."""
    sources = "\n".join(cell.source for cell in executed(read(path)))
    assert re.findall(r"\w*(?:FloatSlider|FloatLogSlider|SelectionSlider|IntSlider)", sources) == []


@each_lesson
def test_fits_on_a_page(path):
    assert path.stat().st_size < 1.5e6


@each_lesson
def test_ids_are_present_and_unique(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]  # nbformat would mend them
    ids = [cell.get("id") for cell in cells]
    assert all(ids) and len(set(ids)) == len(ids)


@each_lesson
def test_was_executed_in_order_without_error_or_warning(path):
    nb = read(path)
    cells = executed(nb)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert [o.ename for cell in cells for o in cell.outputs if o.output_type == "error"] == []
    assert warnings(nb) == []


@each_lesson
def test_names_its_kernel(path):  # without it JupyterLab asks for one and runs nothing
    assert read(path).metadata.kernelspec == METADATA["kernelspec"]


@each_lesson
def test_headings_form_a_tree(path):
    text = markdown(read(path))
    assert [len(hashes) for hashes in HEADING.findall(text)].count(1) == 1
    assert skipped_levels(text) == []


@each_lesson
def test_images_have_alt_text(path):
    assert images_without_alt(read(path)) == []


@each_lesson
def test_links_lead_somewhere(path):
    assert missing_links(markdown(read(path)), path.parent) == []


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_documents_lead_somewhere(name):
    assert missing_links(CODE.sub("", (ROOT / name).read_text(encoding="utf-8")), ROOT) == []


def test_readme_maps_the_lessons_that_exist():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    mapped = re.findall(r"^\| \[\d\d\]\(notebooks/(\S+\.ipynb)\)", readme, re.MULTILINE)
    assert mapped == [path.name for path in PATHS]
    assert mapped, "no lesson exists"


def output(kind, **fields):
    return nbformat.v4.new_output(kind, **fields)


def test_normalising_removes_what_changes_and_nothing_else():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "random"}}
    outputs = [
        output("stream", name="stdout", text="a"),
        output("stream", name="stdout", text="b"),
        output("display_data", data=view),
        output("display_data", data={**view, "text/plain": "panel", "image/png": "iVBO"}),
    ]
    metadata = {"execution": {"iopub.status.busy": "now"}, "tags": ["kept"]}
    cell = nbformat.v4.new_code_cell("1", outputs=outputs, metadata=metadata, execution_count=1)
    stored = {"widgets": {"state": {}}, "language_info": {"name": "python", "version": "3.11.7"}}
    nb = normalise(nbformat.v4.new_notebook(cells=[cell], metadata=stored))
    assert nb.metadata == METADATA
    assert cell.metadata == {"tags": ["kept"], "jupyter": {"outputs_hidden": True}}
    assert cell.outputs == [
        output("stream", name="stdout", text=" \nab"),
        output("display_data", data={"text/plain": "panel", "image/png": "iVBO"}),
    ]


def test_normalising_hides_what_a_cell_shows_and_folds_what_draws():
    result = {"text/html": "<b>1</b>", "text/plain": "1", "image/png": "iVBO"}
    outputs = [output("display_data", data=result), output("stream", text="kept")]
    cell = nbformat.v4.new_code_cell("plots.show(figure, 'alt')", outputs=outputs)
    for _ in range(2):  # once more changes nothing
        normalise(nbformat.v4.new_notebook(cells=[cell]))
        assert cell.metadata.jupyter == {"outputs_hidden": True, "source_hidden": True}
        assert cell.outputs[0].data["text/html"] == " \n<b>1</b>"
        assert cell.outputs[0].data["text/plain"] == " \n1"
        assert (cell.outputs[0].data["image/png"], cell.outputs[1].text) == ("iVBO", "kept")


def test_addresses_and_warnings_are_found():
    outputs = [
        output("execute_result", data={"text/plain": "<object at 0x7f3c5e0b2d10>"}),
        output("stream", name="stderr", text="/tmp/ipykernel_123/1.py: UserWarning"),
    ]
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("x", outputs=outputs)])
    assert len(problems(nb)) == 2
    assert len(warnings(nb)) == 1


def test_the_checks_of_text_can_fail():
    assert missing_links("[a](gone.ipynb#part) ![b](https://x.org/b.png) [c](#d)", Path()) == [
        "gone.ipynb"
    ]
    assert missing_links('<img src="gone.png">', Path()) == ["gone.png"]
    assert skipped_levels("# a\n\n### b\n") == [(1, 3)]
    picture = output("display_data", data={"image/png": "iVBO"})
    cell = nbformat.v4.new_code_cell("x", outputs=[picture])
    assert images_without_alt(nbformat.v4.new_notebook(cells=[cell])) == [(0, "image/png")]
