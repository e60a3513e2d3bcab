"""Render all lessons to HTML, to look things up where nothing is installed.

    python tests/render_pages.py FOLDER

FOLDER, new or empty, gets index.html, the glossary and a page for each lesson with its stored outputs:
those that JupyterLab hides on opening are shown, what is folded stays folded, and a panel shows its
stored picture. Nothing is executed. A reader's browser loads MathJax and Mermaid from cdnjs.
"""

import argparse
import re
import sys
from pathlib import Path

import nbformat
from bs4 import BeautifulSoup
from execute_notebooks import BLANK_LINE, LESSONS
from nbconvert import HTMLExporter

TABLE = re.compile(r"^\| no \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)  # README's lessons
INDEX = """# Policy gradients, live: pages to look things up

Each page is a lesson of the course with the outputs of one run; one more is the [glossary](GLOSSARY.md).
**The course is to be run, not read:** you predict first, then drag a slider and see what comes out.
Here each outcome stands below its question, and nothing moves: sliders, predictions and checks work in
JupyterLab. The course's README says how to start.

"""
# What differs from nbconvert's pages: those have no alt texts and fold no code.
TEMPLATE = """{% extends "lab/index.html.j2" %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mathjax %}{{ super() | replace("automatic: true", "automatic: false") }}
{% endblock %}
{% block html_head_css %}<style>
body { padding: 0 1em; font-family: var(--jp-content-font-family); } main { max-width: 70em; margin: auto; }
.jp-RenderedText pre { word-break: normal; overflow-wrap: anywhere; }
pre, .MJXc-display, .jp-RenderedHTMLCommon table { overflow-x: auto; }
.jp-CodeCell details { display: table-cell; } .jp-CodeCell details > div { display: block; }
.jp-Mermaid:not(.jp-RenderedMermaid) { display: block; }
.sr-only { position: absolute; clip-path: inset(50%); width: 1px; overflow: hidden; }
</style>{% endblock %}
{% block body_header %}{{ super() }}<nav class="jp-RenderedHTMLCommon"><p><a href="index.html">All
lessons</a> · A page to look things up: sliders, predictions and checks work in JupyterLab.</p></nav>
{% endblock %}
{% block input %}{% if cell.metadata.get("jupyter", {}).source_hidden -%}
<details><summary>Code</summary>{{ super() }}</details>{% else %}{{ super() }}{% endif %}{% endblock %}
{% block data_png scoped %}{% set words = output.data["text/plain"] -%}
{% set still = "<p>%s The picture stands still here; in JupyterLab it moves.</p>" % words | e -%}
{{ super() | replace("<img", '<img alt="%s"' % output.metadata["image/png"].alt | e)
    | replace("</div>", ("" if words == "A figure." else still) ~ "</div>") }}{% endblock %}"""
# Without the ELK layout: while that loads, Mermaid may begin by itself and spoil its own source.
EXPORTER = HTMLExporter(raw_template=TEMPLATE, mermaid_layout_elk_js_url="")


def page(nb):
    """The HTML of a notebook, which is changed."""
    nb.metadata.title = re.search(r"^# (.*)$", nb.cells[0].source, re.MULTILINE)[1]
    for output in (output for cell in nb.cells for output in cell.get("outputs", [])):
        texts = output.get("data", output)
        texts |= {k: v.removeprefix(BLANK_LINE) for k, v in texts.items() if isinstance(v, str)}
    soup = BeautifulSoup(EXPORTER.from_notebook_node(nb)[0], "html.parser")
    for link in soup.select('a[href]:not([href*="://"])'):
        link["href"] = re.sub(r"^(?:.*/)?([^/]+)\.(?:ipynb|md)\b", r"\1.html", link["href"])
        link["href"] = re.sub("#.*", lambda place: place[0].lower(), link["href"])  # as on GitHub
    for heading in soup.select(":is(h1, h2, h3, h4, h5, h6)[id]"):
        heading["id"] = heading["id"].lower()
    for line_break in soup.select("pre.mermaid br"):
        line_break.replace_with("<br>")  # Mermaid reads text
    return str(soup)


def pages():
    """(name, HTML) of all pages: an index from README's table of lessons, the glossary, the lessons."""
    readme, glossary = (LESSONS.parent / name for name in ("README.md", "GLOSSARY.md"))
    table = TABLE.search(readme.read_text(encoding="utf-8"))[0]
    documents = {"index": INDEX + table, "GLOSSARY": glossary.read_text(encoding="utf-8")}
    for name, text in documents.items():
        cell = nbformat.v4.new_markdown_cell(text)
        yield f"{name}.html", page(nbformat.v4.new_notebook(cells=[cell]))
    for path in sorted(LESSONS.glob("*.ipynb")):
        yield f"{path.stem}.html", page(nbformat.read(path, as_version=4))


def main(arguments=None):
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="new or empty")
    folder = parser.parse_args(arguments).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            return f"{folder} is not empty, so nothing is written. Name a new or an empty folder."
        for name, html in pages():
            (folder / name).write_text(html, encoding="utf-8")
            print(folder / name, flush=True)
    except OSError as error:
        return f"{folder} cannot be written to ({error}). Name a new or an empty folder."


if __name__ == "__main__":
    sys.exit(main())
