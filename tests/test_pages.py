"""The static pages, read as HTML, against the notebooks that they are made from."""

import re

import pytest
import render_pages
from bs4 import BeautifulSoup
from execute_notebooks import BLANK_LINE, LESSONS
from lesson_cells import EXAMPLE, PATHS, read
from nbformat import write
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_notebooks_stored import markdown

WORKFLOW = LESSONS.parent / ".github" / "workflows" / "pages.yml"
FILES = {"index.html", "GLOSSARY.html", *(f"{path.stem}.html" for path in PATHS)}
FORMULA = re.compile(r"\$\$.+?\$\$|\$.+?\$", re.DOTALL)
MAP = re.compile(r"```mermaid\n(.*?)\n```", re.DOTALL)
CASES = [pytest.param(path, id=path.stem) for path in (PATHS[0], EXAMPLE)] + [
    pytest.param(path, id=path.stem, marks=pytest.mark.hardening) for path in PATHS[1:]
]


def soup(html):
    return BeautifulSoup(html, "html.parser")


def text(node):
    return " ".join(node.get_text().split())


def stored(output):
    """What a reader should see of an output: (text, picture, alt text)."""
    data = output.get("data", {"text/plain": output.get("text", "")})
    words = text(soup(data.get("text/html", ""))) or " ".join(data["text/plain"].split())
    if "image/png" not in data:
        return words, None, None
    still = f"{words} The picture stands still here; in JupyterLab it moves."
    picture = "data:image/png;base64," + data["image/png"].strip()
    return "" if words == "A figure." else still, picture, output.metadata["image/png"]["alt"]


def shown(node):
    """What the page shows of it."""
    image = node.img or {"src": ""}
    return text(node), image["src"].strip() or None, image.get("alt")


def dead_links(page, files):
    """Links of a page that lead neither elsewhere, nor to one of the files, nor to a place in it."""
    targets = [link["href"] for link in page.select("a[href]:not([href*='://'])")]
    here = {f"#{node['id']}" for node in page.select("[id]")}
    return [target for target in targets if target not in here and target not in files]


@pytest.mark.parametrize("path", CASES)
def test_a_page_has_all_that_its_lesson_has(path):
    nb, page = read(path), soup(render_pages.page(read(path)))
    code, drawn = [c for c in nb.cells if c.cell_type == "code"], page.select(".jp-CodeCell")
    outputs = [[shown(node) for node in cell.select(".jp-OutputArea-output")] for cell in drawn]
    assert outputs == [[stored(output) for output in cell.outputs] for cell in code]
    assert not any(node.text.startswith(BLANK_LINE) for node in page.select(".jp-OutputArea pre"))
    folded = [bool(cell.metadata.jupyter.get("source_hidden")) for cell in code]
    assert [bool(cell.select("details pre")) for cell in drawn] == folded
    answers = page.select(".jp-MarkdownCell details")
    assert len(answers) == markdown(nb).count("<details>")
    assert [answer for answer in answers if text(answer) == text(answer.summary)] == []
    assert page.select("details[open]") == []
    words = page.main.get_text()
    assert [one for one in FORMULA.findall(markdown(nb)) if one not in words] == []
    maps = [source for cell in nb.cells for source in MAP.findall(cell.source)]
    assert [pre.text.strip() for pre in page.select("pre.mermaid")] == maps
    assert dead_links(page, FILES) == []


def test_the_index_and_the_glossary_lead_to_lessons_that_have_pages():
    pages = render_pages.pages()
    (name, index), (other, glossary) = (
        (name, soup(html)) for name, html in (next(pages), next(pages))
    )
    assert (name, other) == ("index.html", "GLOSSARY.html")
    assert [a["href"] for a in index.select("td a")] == [f"{path.stem}.html" for path in PATHS]
    assert dead_links(index, FILES) == dead_links(glossary, FILES) == []
    assert "The course is to be run, not read" in text(index.main)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A course of one lesson, whose text, alt text and links are made to break a page."""
    png = {"image/png": "iVBO", "text/plain": " \nLive panel with <b>."}
    output = new_output("execute_result", png, metadata={"image/png": {"alt": 'a "<b>" & c'}})
    words = "# A & B\n\n[x](../notebooks/01_a.ipynb) [y](https://x.org/z.ipynb) [z](#a-&-b)"
    cells = [new_markdown_cell(words), new_code_cell("1 < 2", outputs=[output])]
    lessons = tmp_path / "course" / "notebooks"
    lessons.mkdir(parents=True)
    write(new_notebook(cells=cells), lessons / "01_a.ipynb")
    (lessons.parent / "README.md").write_text("| no |\n|---|\n| [1](notebooks/01_a.ipynb) |\n\n")
    (lessons.parent / "GLOSSARY.md").write_text("# Words\n\n[1](notebooks/01_a.ipynb#A-&-B)")
    monkeypatch.setattr(render_pages, "LESSONS", lessons)
    return tmp_path


def test_the_command_writes_all_pages(small):
    assert render_pages.main([str(small / "new" / "pages")]) is None
    pages = {path.name: soup(path.read_text()) for path in (small / "new" / "pages").iterdir()}
    assert set(pages) == {"index.html", "GLOSSARY.html", "01_a.html"}
    assert pages["GLOSSARY.html"].select("p a")[-1]["href"] == "01_a.html#a-&-b"
    page = pages["01_a.html"]
    assert page.title.text == "A & B"
    assert [a["href"] for a in page.select("main p a")][1:] == [
        "01_a.html",
        "https://x.org/z.ipynb",
        f"#{page.h1['id']}",
    ]
    still = "Live panel with <b>. The picture stands still here; in JupyterLab it moves."
    assert shown(page.select_one(".jp-OutputArea-output"))[::2] == (still, 'a "<b>" & c')


def test_nothing_is_overwritten(small):
    (small / "full").mkdir()
    (small / "full" / "mine.txt").write_text("kept")
    assert "is not empty" in render_pages.main([str(small / "full")])
    assert "cannot be written to" in render_pages.main([str(small / "full" / "mine.txt")])
    assert [path.read_text() for path in (small / "full").iterdir()] == ["kept"]


def test_the_workflow_runs_the_command_on_the_default_branch_alone():
    jobs = WORKFLOW.read_text(encoding="utf-8")
    assert "run: python tests/render_pages.py pages\n" in jobs and "path: pages\n" in jobs
    assert "if: github.ref_name == github.event.repository.default_branch\n" in jobs
    assert re.findall(r"[\w-]+: write", jobs) == ["pages: write", "id-token: write"]
