"""GLOSSARY.md against the lessons: what it defines is there, in order, and says what they say."""

import re
from pathlib import Path

import pytest
from lesson_cells import PATHS, read

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "GLOSSARY.md").read_text(encoding="utf-8")
NOTEBOOKS = dict(re.findall(r"^\[(\d\d)\]: (\S+)$", PAGE, re.MULTILINE))
ENTRY = re.compile(r"^- \*\*(.+?)\*\*: (.+) \[(\d\d)\]$", re.MULTILINE)
ENTRIES = ENTRY.findall(PAGE)


def plain(text):
    return " ".join(re.sub(r"[*`_]", "", text).split()).casefold()


def lesson(number):
    (path,) = [path for path in PATHS if path.stem.startswith(number)]
    return [cell.source for cell in read(path).cells]


def rows(text):
    return [line.removesuffix("|") for line in text.splitlines() if line.startswith("| $")]


def test_the_words_are_in_order_and_each_has_one_sentence():
    terms = [term.casefold() for term, _, _ in ENTRIES]
    assert terms == sorted(set(terms))
    assert len(ENTRIES) == PAGE.count("\n- ") and len(ENTRIES) >= 80
    assert [words for _, words, _ in ENTRIES if not re.fullmatch(r"[^.]+\.", words)] == []


def test_each_lesson_is_named_and_all_links_lead_there():
    assert set(re.findall(r"\[(\d\d)\](?!:)", PAGE)) == set(NOTEBOOKS)
    assert list(NOTEBOOKS.values()) == [f"notebooks/{path.name}" for path in PATHS]


@pytest.mark.parametrize("number", sorted({number for _, _, number in ENTRIES}))
def test_each_term_occurs_in_the_lesson_that_it_names(number):
    text = plain("\n".join(lesson(number)))
    terms = [term for term, _, named in ENTRIES if named == number]
    assert [term for term in terms if plain(term) not in text] == []


def test_the_signs_of_lesson_00_have_the_same_words():
    cells = "\n".join(lesson("00"))
    table = cells[cells.index("## Words and signs") : cells.index("Two pairs of words")]
    assert [row for row in rows(table) if f"\n{row}| [" not in PAGE] == [] != rows(table)


def test_other_fields_words_point_to_an_entry():
    terms = {term.casefold() for term, _, _ in ENTRIES}
    pointed = [word for _, words, _ in ENTRIES for word in re.findall(r"\*([^*]+)\*", words)]
    assert len(pointed) > 15
    assert [word for word in pointed if word.casefold() not in terms] == []
