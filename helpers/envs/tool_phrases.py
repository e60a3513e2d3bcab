"""Requests in plain words, made from templates, each with the answer that its asker wants.

The answers are worked out here when a request is made, never by the tools of helpers.tools: with
whole numbers, with defined conversion factors, with NumPy's calendar, from lists of our own.
Each kind of request has phrasings for training and others that are held out; they share no template.
"""

from fractions import Fraction
from typing import NamedTuple

import numpy as np

MONTHS = (
    "January February March April May June July August September October November December".split()
)
WEEKDAYS = (
    "Thursday Friday Saturday Sunday Monday Tuesday Wednesday".split()
)  # 1 January 1970 first
WORDS = """apple banana bicycle bridge butter candle carrot castle cheese coffee dragon elephant
feather garden guitar hammer island jacket kitchen ladder letter market mirror mountain ocean orange
parrot pepper pillow planet pocket rabbit river saddle school shadow silver spider summer sunset
teapot thunder ticket tomato tunnel umbrella valley violin window winter""".split()
CAPITALS = dict(  # the look-up tool knows the first two lines
    pair.split(":")
    for pair in """Austria:Vienna Canada:Ottawa Cuba:Havana Denmark:Copenhagen Egypt:Cairo
    Finland:Helsinki Greece:Athens Italy:Rome Japan:Tokyo Kenya:Nairobi Norway:Oslo Peru:Lima
    Chile:Santiago Ghana:Accra Latvia:Riga Nepal:Kathmandu Vietnam:Hanoi Zambia:Lusaka""".split()
)
ELEMENTS = {  # atomic number and symbol
    "helium": (2, "He"),
    "carbon": (6, "C"),
    "oxygen": (8, "O"),
    "neon": (10, "Ne"),
    "sodium": (11, "Na"),
    "sulfur": (16, "S"),
    "potassium": (19, "K"),
    "calcium": (20, "Ca"),
    "titanium": (22, "Ti"),
    "iron": (26, "Fe"),
    "nickel": (28, "Ni"),
    "copper": (29, "Cu"),
    "zinc": (30, "Zn"),
    "krypton": (36, "Kr"),
}
# Unit names as people write them, and how many of the first of the line one of each is.
MEASURES = [
    {"metres": 1, "km": 1000, "cm": "0.01", "miles": "1609.344", "feet": "0.3048", "inches": "0.0254"},
    {"kg": 1, "grams": "0.001", "pounds": "0.45359237", "ounces": "0.028349523125"},
    {"litres": 1, "gallons": "3.785411784", "pints": "0.473176473"},
    {"seconds": 1, "minutes": 60, "hours": 3600},
]  # fmt: skip


class Task(NamedTuple):
    """A request, and what its asker may mean by it."""

    text: str
    meanings: tuple  # of (answer, probability); an answer is a number or a text
    kind: str


def _sum(rng):
    a, b, c = (int(n) for n in rng.integers(2, 100, 3))
    signs, value = [
        (f"{a} + {b} - {c}", a + b - c),
        (f"{a} * {b}", a * b),
        (f"{a} * {b} + {c}", a * b + c),
        (f"({a} + {b}) * {c}", (a + b) * c),
        (f"{a * b} / {b}", a),
        (f"{a}^2 - {b}", a * a - b),
    ][rng.integers(6)]
    return {"e": signs}, value


def _spoken_sum(rng):
    a, b = (int(n) for n in rng.integers(2, 100, 2))
    words, value = [
        (f"{a} plus {b}", a + b),
        (f"{a} minus {b}", a - b),
        (f"{a} times {b}", a * b),
        (f"{a * b} divided by {b}", a),
    ][rng.integers(4)]
    return {"e": words}, value


def _percent(rng):
    p, n = 5 * int(rng.integers(1, 20)), 20 * int(rng.integers(1, 50))
    return {"p": p, "n": n}, p * n // 100


def _units(rng):
    x = int(rng.integers(2, 200))
    if rng.random() < 0.2:
        into = rng.random() < 0.5
        names = ("celsius", "fahrenheit") if into else ("fahrenheit", "celsius")
        return dict(x=x, u=names[0], v=names[1]), x * 1.8 + 32 if into else (x - 32) / 1.8
    measure = MEASURES[rng.integers(len(MEASURES))]
    u, v = rng.choice(list(measure), 2, replace=False)
    return dict(x=x, u=u, v=v), float(x * Fraction(measure[u]) / Fraction(measure[v]))


def _day(rng):
    return np.datetime64("1950-01-01") + int(rng.integers(0, 36_000))


def _written(day):
    year, month, number = str(day).split("-")
    return f"{int(number)} {MONTHS[int(month) - 1]} {year}"


def _weekday_of(day):
    return WEEKDAYS[day.astype(int) % 7]


def _between(rng):
    first, days = _day(rng), int(rng.integers(2, 2000))
    return {"a": _written(first), "b": _written(first + days)}, days


def _weekday(rng):
    day = _day(rng)
    return {"a": _written(day)}, _weekday_of(day)


def _later(rng):
    day, n = _day(rng), int(rng.integers(2, 300))
    return {"a": _written(day), "n": n}, _written(day + n)


def _capital(rng):
    country = rng.choice(list(CAPITALS))
    return {"c": country}, CAPITALS[country]


def _element(of):
    def make(rng):
        name = rng.choice(list(ELEMENTS))
        return {"x": name}, ELEMENTS[name][of]

    return make


def _word(answer):
    def make(rng):
        word = str(rng.choice(WORDS))
        letter = word[rng.integers(len(word))]
        return {"w": word, "l": letter}, answer(word, letter)

    return make


def _secret(*answers):
    def make(rng):
        return {"w": rng.choice(WORDS)}, str(rng.choice(answers))

    return make


# What the asker may mean, with these probabilities: for two tools, or something only people know.
def _looks_like_a_date(rng):
    day, month, year = (
        int(rng.integers(1, 29)),
        int(rng.integers(1, 13)),
        int(rng.integers(1950, 2050)),
    )
    weekday = _weekday_of(np.datetime64(f"{year}-{month:02}-{day:02}"))
    meanings = (day - month - year, 0.5), (weekday, 0.3), ("our wedding", 0.2)
    return {"e": f"{day}-{month}-{year}"}, meanings


def _month_or_word(rng):
    number = rng.integers(12)
    start = np.datetime64(f"2023-{number + 1:02}").astype("datetime64[M]")
    days = int(((start + 1).astype("datetime64[D]") - start.astype("datetime64[D]")).astype(int))
    month = MONTHS[number]
    return {"m": month}, ((days, 0.5), (len(month), 0.2), ("it felt endless", 0.3))


def _element_or_word(rng):
    name = rng.choice(list(ELEMENTS))
    return {"x": name}, ((ELEMENTS[name][0], 0.45), (len(name), 0.35), ("the third shelf", 0.2))


# kind: (make, training phrasings, held-out phrasings)
PHRASES = {
    "sum": (
        _sum,
        ["What is {e}?", "Compute {e}", "Calculate {e} for me", "How much is {e}?", "{e} = ?"],
        ["Work out {e}", "I need the result of {e}", "Can you solve {e}?"],
    ),
    "spoken sum": (
        _spoken_sum,
        ["What is {e}?", "How much is {e}?", "Tell me {e}", "Please work out {e}", "{e}, please"],
        ["{e} makes what?", "Calculate {e}", "I'd like to know {e}"],
    ),
    "percent": (
        _percent,
        ["What is {p} % of {n}?", "Compute {p} percent of {n}", "{p}% of {n}?", "How much is {p}% of {n}?"],
        ["Give me {p} percent of {n}", "I get {p} % of {n}: how much is that?"],
    ),
    "units": (
        _units,
        ["Convert {x} {u} to {v}", "What is {x} {u} in {v}?", "How many {v} are {x} {u}?",
         "{x} {u} in {v}, please", "Express {x} {u} in {v}", "Change {x} {u} into {v}"],
        ["How many {v} do {x} {u} make?", "I have {x} {u}, what is that in {v}?", "Turn {x} {u} into {v}"],
    ),
    "days between": (
        _between,
        ["How many days are there from {a} to {b}?", "Days between {a} and {b}?",
         "How long is it from {a} until {b}?", "Count the days from {a} to {b}"],
        ["How many days lie between {a} and {b}?", "From {a} to {b} it takes how many days?"],
    ),
    "weekday": (
        _weekday,
        ["Which weekday was {a}?", "What day of the week is {a}?", "{a} falls on which day?",
         "On which day of the week is {a}?"],
        ["Tell me the weekday of {a}", "Is {a} a Monday, or which day is it?"],
    ),
    "later date": (
        _later,
        ["What date is {n} days after {a}?", "{n} days from {a} is which date?",
         "Add {n} days to {a}", "Which date comes {n} days after {a}?"],
        ["Give me the date {n} days later than {a}", "Starting on {a}, where am I after {n} days?"],
    ),
    "capital": (
        _capital,
        ["What is the capital of {c}?", "Name the capital of {c}", "Which city is the capital of {c}?",
         "{c}: capital?", "What's {c}'s capital city?"],
        ["Which city governs {c}?", "Tell me the capital city of {c}", "The capital of {c} is called what?"],
    ),
    "symbol": (
        _element(1),
        ["What is the symbol of {x}?", "Chemical symbol for {x}?", "How is {x} abbreviated in chemistry?",
         "Which symbol does {x} have?"],
        ["Give me the chemical symbol of {x}", "The element {x} has which symbol?"],
    ),
    "atomic number": (
        _element(0),
        ["What is the atomic number of {x}?", "How many protons has {x}?", "Atomic number for {x}?",
         "Where in the periodic table is {x}?"],
        ["Give me the atomic number of {x}", "An atom of {x} has how many protons?"],
    ),
    "reverse": (
        _word(lambda word, letter: word[::-1]),
        ["Reverse '{w}'", "Spell '{w}' backwards", "What is '{w}' in reverse?", "Write '{w}' backwards"],
        ["How does '{w}' read from the end?", "Turn '{w}' back to front"],
    ),
    "letter count": (
        _word(lambda word, letter: word.count(letter)),
        ["How many {l}'s are in '{w}'?", "How often does {l} occur in '{w}'?", "Count the {l}'s in '{w}'",
         "How many times is {l} in '{w}'?"],
        ["'{w}' has how many {l}'s in it?", "Tell me how many {l}'s I find in '{w}'"],
    ),
    "length": (
        _word(lambda word, letter: len(word)),
        ["How many letters has '{w}'?", "How long is the word '{w}'?", "Number of letters in '{w}'?",
         "Count the letters of '{w}'"],
        ["What length has '{w}'?", "'{w}' is made of how many letters?"],
    ),
    "taste": (
        _secret("the first", "the second", "neither"),
        ["Which of the two pictures of the {w} do you like better?", "Does the {w} look good to you?",
         "Should I wear the {w} tonight?", "Do you prefer the {w} or the cake?"],
        ["Is the {w} pretty, in your opinion?", "Would you buy this {w}?"],
    ),
    "memory": (
        _secret("in the drawer", "at the office", "Anna has it"),
        ["Where did I leave the {w}?", "Who took my {w} yesterday?", "When did we last see the {w}?",
         "What did Anna say about the {w}?"],
        ["Where have you put the {w}?", "Did Anna mention my {w}?"],
    ),
    "date or sum?": (
        _looks_like_a_date,
        ["What is {e}?", "{e}?", "Tell me about {e}", "What do we have on {e}?"],
        ["Look at {e}, what is it?", "So {e} is what?"],
    ),
    "month or word?": (
        _month_or_word,
        ["How long is {m}?", "What is the length of {m}?", "How long was {m}?"],
        ["Tell me how long {m} is", "And {m}, how long is that?"],
    ),
    "element or word?": (
        _element_or_word,
        ["Which number belongs to {x}?", "What number has {x}?", "What is the number for {x}"],
        ["The number of {x}, please: {x}", "Give me the number that goes with {x}"],
    ),
}  # fmt: skip


def draw_task(rng, held_out=False):
    """A random Task: each kind equally often, then each of its phrasings; rng: NumPy Generator."""
    kind = list(PHRASES)[rng.integers(len(PHRASES))]
    make, *phrasings = PHRASES[kind]
    templates = phrasings[held_out]
    fields, wanted = make(rng)
    meanings = wanted if isinstance(wanted, tuple) else ((wanted, 1.0),)
    return Task(templates[rng.integers(len(templates))].format(**fields), meanings, kind)
