"""The tools of lesson 06: right answers by a second way, and a sentence for whatever else is typed."""

import itertools
import re
import time
import warnings
from fractions import Fraction

import numpy as np
import pytest

from helpers.envs import tool_phrases
from helpers.facts import CAPITALS, ELEMENTS
from helpers.tools import LONGEST, SORRY, TOOLS, answered, arithmetic

units, dates = TOOLS["units"], TOOLS["dates"]

# What a tool must not stumble over.
NONSENSE = """
    9**9**9**9 | 9^9^9^9^9^9 | 1/0 | 0**-1 | 1/(2-2) | 10**400 | 1e999999999 | 2**0.5 + 1 | 0x10 + 1
    007 + 1 | 1 +  | 5 % 3 of nothing | 31 February | 31 February 2024 | 0 March 1999
    99 December 0000 | 2021-13-45 | 999999 weeks after 1 January 2000 | -500 kelvin in celsius
    300000 weeks before 1 January 2000 | 5 miles in kg | 日本語で十二足す三 | كم يساوي ٣ + ٤
    __import__('os').system('echo pwned') | [x for x in ().__class__.__base__.__subclasses__()]
    lambda: 1 + 1 | exec('import os') * 2 + 2 | {7*7}${7*7}{{7*7}} | '; DROP TABLE requests; --
    <script>alert(1+1)</script>"""
LONG = ["(((" * 60, "-" * 400 + "1", "1" + "+1" * 240, "0.1" * 150, "1" * 400 + " miles in km"]
LONG += ["🙂" * 100, "' " * 249, "1-" * 249, "1 March 2000 " * 38, "7" * 100_000, "a" * 100_000]
LONG += ["What is " + "very " * 20_000 + "long"]


# What people type, for one tool each: "request -> answer", and requests that it must decline.
ORDINARY = {
    "calculator": """
        1,234 + 5 -> 1239 | 1,234,567 - 1 -> 1234566 | 1,234.50 * 2 -> 2469 | 17 x 23 -> 391
        17x23 -> 391 | 3 x 4 + 2 -> 14 | what's 12 plus 30? -> 42 | 20 percent of 1,500 -> 300
        What is 7 times 8 minus 6 -> 50 | How much is 20% of 150? -> 30 | 100 - 20% of 50 -> 90
        7 squared -> 49 | 2 to the power of 10 -> 1024 | 2^10 -> 1024 | 5^-1 -> 0.2 | .5 + 1 -> 1.5
        2**100 + 1 -> 1267650600228229401496703205377 | 0.1+0.2 -> 0.3 | 3 + 4 = -> 7
        = 3 + 4 -> 7 | what is -3 + 4 -> 1 | 3 - -4 -> 7 | 100 divided by 4 -> 25 | 6÷3 -> 2
        1/3 -> 0.333333333333333 | 10 - 2 - 3 -> 5 | 2+2, please! -> 4 | 3 + 4. -> 7 | 3 +4 -5 -> 2
        Could you please tell me 2+2 -> 4 | (3+4)*2 squared -> 28 | 1234567890.5 + 0 -> 1234567890.5
        20 / 50% of 4 -> 10 | -3**2 -> -9
        12 × 7 − 3 -> 81 | 12 times 7 minus 3? -> 81 | what's 12*7-3 please -> 81
        (12)*(7) + -3 -> 81 | 15 % of 80 -> 12 | 15 percent of 80 -> 12 | 7 squared plus 1 -> 50
        7^2+1 -> 50 | What is 3-4-2021? -> -2022""",
    "units": """
        5 miles in km -> 8.04672 km | 1,500 metres in km -> 1.5 km | 5 ft in m -> 1.524 m
        5 in in cm -> 12.7 cm | 180cm to feet -> 5.90551 feet | 180 cm to inches -> 70.8661 inches
        How many seconds are in a day? -> 86400 seconds | an hour in minutes -> 60 minutes
        How many minutes are there in a week? -> 10080 minutes | 100 F in C -> 37.7778 C
        100°F to °C -> 37.7778 C | 20 degrees C in F -> 68 F | 300 K in C -> 26.85 C
        0 celsius in fahrenheit -> 32 fahrenheit | 5 tonnes in kg -> 5000 kg | 5 Mm in km -> 5000 km
        5 KM in miles -> 3.10686 miles | 2 cups in ml -> 473.176 ml | 8 oz in grams -> 226.796 grams
        how far is 5 miles in km -> 8.04672 km | 5 pounds in kg -> 2.26796 kg
        about 5 miles in km -> 8.04672 km | 90 minutes in hours -> 1.5 hours
        1234567 cm in m -> 12345.67 m | How many feet are in a mile? -> 5280 feet
        how many pints are in a gallon? -> 8 pints | 10 kilometers to miles -> 6.21371 miles
        I am 180 cm, what's that in feet? -> 5.90551 feet | 1 second in ms -> 1000 ms
        100 degrees celsius in fahrenheit -> 212 fahrenheit | -40 °F in °C -> -40 C
        How many feet are in 3 yards? -> 9 feet""",
    "dates": """
        how many days has February 2024 -> 29 days | how many days has February 2023? -> 28 days
        How long is February? -> 28 days (29 in a leap year) | february 1900 -> 28 days
        days in April -> 30 days | How many days has feb 2024 -> 29 days | May 2024 -> 31 days
        December 24, 2030 -> Tuesday | Dec 24 2030 -> Tuesday | 24 Dec 2030 -> Tuesday
        24th of December 2030 -> Tuesday | December 24th, 2030 -> Tuesday | 24/12/2030 -> Tuesday
        12/24/2030 -> Tuesday | 04/04/2025 -> Friday | 3-4-2025 -> Thursday | 3.4.2025 -> Thursday
        2025-04-03 -> Thursday | 2025/04/03 -> Thursday | Sept 3 2020 -> Thursday
        12 days after 3 May 1988 -> 15 May 1988 | 3 weeks before 3 May 1988 -> 12 April 1988
        a week after 3 May 1988 -> 10 May 1988 | Is 3 May 1988 a Monday? -> Tuesday
        days from May 1, 2020 to June 2, 2020 -> 32 days | weekday of 4 July 1776 -> Thursday
        from 2020-02-20 to 2020-03-01 how many days -> 10 days | 3 May 1988 plus 10 days -> 13 May 1988
        What date is 5 days before 1 March 2024? -> 25 February 2024
        29 February 2024 -> Thursday | How long is March? -> 31 days | April -> 30 days
        From 1 May 2020 to 2 May 2020? -> 1 day""",
    "table": """
        gold -> Au, number 79 | What is gold? -> Au, number 79 | symbol of gold -> Au
        atomic number of gold -> 79 | What is the symbol for Silver -> Ag | aluminum symbol -> Al
        sulphur -> S, number 16 | Number of protons in lead? -> 82 | What's the capital of Japan? -> Tokyo
        Mexico: capital? -> Mexico City | France -> Paris | What's Greece's capital city? -> Athens
        capital of MEXICO, please -> Mexico City | symbol of iron -> Fe
        How many protons has iron? -> 26""",
    "wordplay": """
        Reverse 'hello world' -> dlrow olleh | Reverse garden please -> nedrag
        Spell banana backwards -> ananab | How many letters does banana have? -> 6
        how many r's are in strawberry -> 3 | How many times is a in 'banana' -> 3
        sort the letters of banana alphabetically -> aaabnn | Tell me how long June is -> 4
        What's Peru's capital city? -> Your text has 4 words. | Reverse 'abc123' -> 321cba
        what letter is at the end of cat -> Your text has 8 words. | How many letters has 'a b'? -> 2
        how many letters are in the alphabet? -> Your text has 7 words.
        Reverse 'garden' -> nedrag | Spell "garden" backwards -> nedrag | How long is May? -> 3
        How many e's are in 'cheese'? -> 3 | How many times is s in 'cheese'? -> 1
        How many letters has 'cheese'? -> 6 | Sort the letters of 'cab' -> abc
        hello -> Your text has 1 word. | a b -> Your text has 2 words.""",
}
DECLINED = {
    "calculator": """
        1.234,5 + 1 | 1,5 + 2 | 12,34 + 1 | 0x10 + 1 | sqrt(16)+1 | 1e308*10 | 2e3 + 1 | 15% of 80 + 5
        100 + 10% | a + 3 + 4 | 3 + a + 4 | twelve + 3 + 4 | three plus 4 | 2(3+4) | 8/2(2+2) | 5!+1
        7 % 3 | 3 + 4 = 8? | 5 miles + 3 miles | $5 + $3 | 3+4 and 5+6 | 3+4; 5+6 | 1 000 + 5
        3 · 4 + 1 | 5 to 3 - 1 | half of 10 + 3 | double 3 + 4 | 3 plus plus 4 | log(10) + 1 | 2^0.5
        4 * (3 + 2 | ½ + 1 + 1 | 10 less than 3+4 | 1_000 + 1 | 12345678901234567.5 + 0
        2**-1500 | 3 + 4 kg | (3 + 4)! | 15% of 80 * 2
        I am 12""",
    "units": """
        1,5 metres in cm | 5 feet 3 inches in cm | 5'3" in cm | 180 cm in feet and inches
        how many days in a year | hours in a month | 60 km/h in mph | 20 degrees in fahrenheit
        -500 kelvin in celsius | 5 miles in kg | 5 tons in kg | 3-5 miles in km | 1/2 mile in km
        half a mile in km | a mile and a half in km | two miles in km | 5 square metres in square feet
        5 m^2 in cm^2 | 5 m² in cm² | 1e3 metres in km | 5 miles in km and feet | 5 pounds in euros
        Is 5 miles more than 7 km? | 5 miles per hour in km | 3 miles plus 2 km in km
        1 hour 30 minutes in seconds | 5 5 miles in km | 3 nautical miles in km | 5 imperial pints in ml
        1 500 metres in km | 12 days after 3 May 1988
        How many miles? | 5 miles""",
    "dates": """
        03/04/2025 | 03/04/25 | 2021-13-04 | 1-13-2021 | 31 April 2020 | 29 February 2023 | 24 December
        December 24 | How many weeks has February 2024 | 3 months after 31 January 2020
        2 years after 3 May 1988 | the day after 3 May 1988 | 10 business days after 3 May 1988
        How old is someone born on 3 May 1988? | What happened on 3 May 1988? | 3 May 1988 12:30
        day of the year of 3 May 1988 | how many days until 24 December 2030 | weekday of 14 October 1066
        How many weeks between 1 May 2020 and 2 June 2020 | subtract 10 days from 3 May 1988
        how many working days between 1 May 2020 and 2 June 2020 | is 3 May 2020 before 4 May 2020?
        May I ask you something? | What may I do | march on Rome | 3 days and 2 weeks after 3 May 1988
        What day is it today? | how long is may 2024 in weeks | 1 May 2020, 2 May 2020, 3 May 2020
        3 weeks before or after 3 May 1988 | days in February 1500 | May 0000""",
    "table": """
        melting point of iron | How many grams of iron are in spinach | capital of New Mexico
        capital of Northern Ireland | population of Japan | Who is the king of Spain?
        Is Paris the capital of France? | capital of France and Spain | how many neutrons has iron
        Who took the lead in Japan | mass number of iron | Where is lead? | how many letters has iron?
        have I lead | turn on the iron | what would lead to this | how many are in Cuba
        capital of Atlantis""",
    "wordplay": "12 + 3",
    "person": "Where did I leave the umbrella?",
}


def split(requests):
    return [request.strip() for request in re.split(r"[|\n]", requests.strip())]


def each(table):
    """(tool, request), as parameters."""
    return [(name, request) for name, requests in table.items() for request in split(requests)]


@pytest.mark.parametrize(("name", "request_and_answer"), each(ORDINARY))
def test_an_ordinary_request_is_answered_rightly(name, request_and_answer):
    text, answer = request_and_answer.split(" -> ")
    assert TOOLS[name](text) == answer


@pytest.mark.parametrize(("name", "text"), each(DECLINED))
def test_what_may_mean_two_things_or_more_than_a_tool_knows_is_declined(name, text):
    said = TOOLS[name](text)
    assert not answered(said) and said.endswith("."), said


@pytest.mark.parametrize(
    "text",
    [*split(NONSENSE), "", " \n\t ", "\x00\x1b[31m", *LONG],
    ids=lambda text: repr(text[:20]),
)
def test_whatever_is_typed_gets_a_sentence_at_once(text):
    begin = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        says = [tool(text) for tool in TOOLS.values()]
    assert time.process_time() - begin < 1
    assert all(isinstance(said, str) and said.strip() for said in says)
    assert all(len(said) < LONGEST + 100 for said in says)
    if len(text) > LONGEST:
        assert all(said.startswith(SORRY) for said in says)


def test_random_texts_get_a_sentence():
    rng = np.random.default_rng(0)
    words = ["March ", " miles ", "in km ", "2021-02-", "of ", "**"]
    pieces = [*"0123456789+-*/().^%'\" éß漢", *words]
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
    ("says", "expressions"),
    [
        ("divide by zero", ["1/0"]),
        ("too large", ["9**9**9**9", "2**-5000", "1e999"]),
        ("whole powers", ["2**0.5"]),
        ("only know", ["7 // 2", "True + 1", "'a' * 3", "2j", "a + 1"]),
        ("cannot read", ["1 +"]),
    ],
)
def test_arithmetic_declines_in_words(says, expressions):
    for expression in expressions:
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


def test_units_against_defined_factors():
    for measure in tool_phrases.MEASURES:
        for u, v in itertools.permutations(measure, 2):
            value, unit = units(f"Convert 7 {u} to {v}").split()
            expected = 7 * Fraction(measure[u]) / Fraction(measure[v])
            assert unit == v and float(value) == pytest.approx(float(expected), rel=1e-5)
    assert "different things" in units("5 miles in kg")


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
    assert "no such date" in dates("29 February 2023")
    assert dates("31 February") == "Sorry, February has no day 31."
    assert "the year" in dates("3 May")
    assert "further than" in dates("900000 weeks after 1 January 2000")


def test_the_table():
    assert list(ELEMENTS) == sorted(ELEMENTS, key=lambda name: ELEMENTS[name][1])
    numbers = {"hydrogen": 1, "neon": 10, "calcium": 20, "iron": 26, "krypton": 36}
    assert {name: ELEMENTS[name][1] for name in numbers} == numbers
    assert len({symbol for symbol, _ in ELEMENTS.values()}) == len(ELEMENTS) == 44
    for name, (number, symbol) in tool_phrases.ELEMENTS.items():  # written down a second time
        assert ELEMENTS[name] == (symbol, number)
    known = {c: city for c, city in tool_phrases.CAPITALS.items() if c.lower() in CAPITALS}
    assert len(known) == 12 and all(CAPITALS[c.lower()] == city for c, city in known.items())
