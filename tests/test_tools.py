"""The tools of lesson 06: right answers by a second way, and a sentence for whatever else is typed."""

import re
import time
import warnings
from fractions import Fraction

import numpy as np
import pytest

from helpers.envs import tool_phrases
from helpers.tools import CAPITALS, ELEMENTS, LONGEST, SORRY, TOOLS, answered, arithmetic

calculator, units, dates, table, wordplay, person = TOOLS.values()

NONSENSE = [
    "",
    " \n\t ",
    "\x00\x1b[31m",
    "9**9**9**9",
    "9^9^9^9^9^9",
    "(((" * 60,
    "-" * 400 + "1",
    "1" + "+1" * 240,
    "0.1" * 150,
    "1/0",
    "0**-1",
    "1/(2-2)",
    "10**400",
    "1e999999999",
    "2**0.5 + 1",
    "0x10 + 1",
    "007 + 1",
    "1 + ",
    "5 % 3 of nothing",
    "31 February",
    "31 February 2024",
    "0 March 1999",
    "99 December 0000",
    "2021-13-45",
    "999999 weeks after 1 January 2000",
    "300000 weeks before 1 January 2000",
    "5 miles in kg",
    "1" * 400 + " miles in km",
    "-500 kelvin in celsius",
    "日本語で十二足す三",
    "كم يساوي ٣ + ٤",
    "🙂" * 100,
    "__import__('os').system('echo pwned')",
    "[x for x in ().__class__.__base__.__subclasses__()]",
    "lambda: 1 + 1",
    "exec('import os') * 2 + 2",
    "{7*7}${7*7}{{7*7}}",
    "'; DROP TABLE requests; --",
    "<script>alert(1+1)</script>",
    "What is " + "very " * 20_000 + "long",
    "7" * 100_000,
    "a" * 100_000,
    "' " * 249,
    "1-" * 249,
    "1 March 2000 " * 38,
]


@pytest.mark.parametrize("text", NONSENSE, ids=lambda text: repr(text[:20]))
def test_whatever_is_typed_gets_a_sentence_at_once(text):
    begin = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        says = [tool(text) for tool in TOOLS.values()]
    assert time.perf_counter() - begin < 1
    assert all(isinstance(said, str) and said.strip() for said in says)
    assert all(len(said) < LONGEST + 100 for said in says)
    if len(text) > LONGEST:
        assert all(said.startswith(SORRY) for said in says)


def test_random_texts_get_a_sentence():
    rng = np.random.default_rng(0)
    pieces = [
        *"0123456789+-*/().^%'\" éß漢",
        "March ",
        " miles ",
        "in km ",
        "**",
        "2021-02-",
        "of ",
    ]
    for _ in range(2000):
        text = "".join(rng.choice(pieces, rng.integers(1, 40)))
        for tool in TOOLS.values():
            assert tool(text).strip(), text


def test_nothing_typed_is_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ["__import__('os').mkdir('x')", "open('x', 'w')", "exec(\"open('x','w')\")+1"]:
        for tool in TOOLS.values():
            tool(text)
        with pytest.raises(ValueError):
            arithmetic(text)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("1/0", "divide by zero"),
        ("9**9**9**9", "too large"),
        ("2**-5000", "too large"),
        ("2**0.5", "whole powers"),
        ("7 // 2", "only know"),
        ("True + 1", "only know"),
        ("'a' * 3", "only know"),
        ("2j", "only know"),
        ("a + 1", "only know"),
        ("1 +", "cannot read"),
        ("1e999", "too large"),
    ],
)
def test_arithmetic_declines_in_words(expression, says):
    with pytest.raises(ValueError, match=says):
        arithmetic(expression)


def test_arithmetic_is_exact():
    assert arithmetic("0.1 + 0.2") == Fraction(3, 10)
    assert arithmetic("2**-2") == Fraction(1, 4)
    assert arithmetic("-3**2") == -9 and arithmetic("2**3**2") == 512
    rng = np.random.default_rng(1)
    for _ in range(300):
        numbers, signs = rng.integers(1, 30, 4), rng.choice(["+", "-", "*", "/"], 3)
        text = f"({numbers[0]} {signs[0]} {numbers[1]}) {signs[1]} ({numbers[2]} {signs[2]} {numbers[3]})"
        in_fractions = re.sub(r"(\d+)", r"Fraction(\1)", text)
        try:
            expected = eval(in_fractions)  # our own text, made above
        except ZeroDivisionError:
            continue
        assert arithmetic(text) == expected


def test_the_calculator_reads_words_and_signs():
    for text in ["12 × 7 − 3", "12 times 7 minus 3?", "what's 12*7-3 please", "(12)*(7) + -3"]:
        assert calculator(text) == "81"
    assert calculator("15 % of 80") == calculator("15 percent of 80") == "12"
    assert calculator("7 squared plus 1") == calculator("7^2+1") == "50"
    assert calculator("1/3") == "0.3333333333"
    assert calculator("What is 3-4-2021?") == "-2022"
    assert not answered(calculator("I am 12"))


def test_units_against_defined_factors():
    for measure in tool_phrases.MEASURES:
        for u in measure:
            for v in measure:
                if u != v:
                    value, unit = units(f"Convert 7 {u} to {v}").split()
                    expected = 7 * Fraction(measure[u]) / Fraction(measure[v])
                    assert unit == v and float(value) == pytest.approx(float(expected), rel=1e-5)
    assert units("100 degrees celsius in fahrenheit") == "212 fahrenheit"
    assert units("-40 °F in °C") == "-40 celsius"
    assert units("How many feet are in 3 yards?") == "9 feet"
    assert "different things" in units("5 miles in kg")
    assert not answered(units("How many miles?")) and not answered(units("5 miles"))


def test_dates_against_numpys_calendar():
    rng = np.random.default_rng(2)
    for _ in range(200):
        day, later = np.datetime64("1900-01-01") + rng.integers(0, 70_000, 2)
        text = tool_phrases._written(day)
        assert dates(f"Days from {text} to {later}?") == f"{abs((later - day).astype(int))} days"
        assert dates(f"Which weekday is {text}?") == np.datetime64(day).item().strftime("%A")
        after = dates(f"What date is 3 weeks after {text}?")
        assert after == tool_phrases._written(day + 21)
        assert dates(f"12 days before {text}") == tool_phrases._written(day - 12)
    assert dates("29 February 2024") == "Thursday" and "no day 29" not in dates("29 February 2024")
    assert "no such date" in dates("29 February 2023")
    assert dates("31 February") == "Sorry, February has no day 31."
    assert "the year" in dates("3 May")
    assert dates("How long is March?") == "31 days" and dates("february") == "28 days"
    assert dates("From 1 May 2020 to 2 May 2020?") == "1 day"
    assert "further than" in dates("900000 weeks after 1 January 2000")


def test_the_table():
    assert list(ELEMENTS) == sorted(ELEMENTS, key=lambda name: ELEMENTS[name][1])
    assert [ELEMENTS[name][1] for name in ("hydrogen", "neon", "calcium", "iron", "krypton")] == [
        1,
        10,
        20,
        26,
        36,
    ]
    assert len({symbol for symbol, _ in ELEMENTS.values()}) == 36
    for name, (number, symbol) in tool_phrases.ELEMENTS.items():  # written down a second time
        assert ELEMENTS[name] == (symbol, number)
    known = {c: city for c, city in tool_phrases.CAPITALS.items() if c.lower() in CAPITALS}
    assert len(known) == 12 and all(CAPITALS[c.lower()] == city for c, city in known.items())
    assert table("capital of MEXICO, please") == "Mexico City"
    assert table("symbol of iron") == "Fe" and table("How many protons has iron?") == "26"
    assert not answered(table("capital of Atlantis"))


def test_wordplay():
    assert wordplay("Reverse 'garden'") == "nedrag"
    assert wordplay('Spell "garden" backwards') == "nedrag"
    assert wordplay("How many e's are in 'cheese'?") == "3"
    assert wordplay("How many times is s in 'cheese'?") == "1"
    assert wordplay("How many letters has 'cheese'?") == "6"
    assert wordplay("Sort the letters of 'cab'") == "abc"
    assert wordplay("How long is May?") == "3"
    assert (
        wordplay("hello") == "Your text has 1 word." and wordplay("a b") == "Your text has 2 words."
    )
    assert not answered(wordplay("12 + 3"))


def test_there_is_no_person_to_ask():
    assert not answered(person("Where did I leave the umbrella?"))
