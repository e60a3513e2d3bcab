"""Six tools that really run: each takes a request as text and returns an answer as text.

A tool that cannot help says so in a sentence that begins with "Sorry". None raises, none takes
longer than a moment, and nothing in a request is ever evaluated as Python. All but wordplay know
few words, and decline what has any other: the word that a tool skips may be the one that matters.
"""

import ast
import calendar
import operator
import re
from datetime import date, timedelta
from fractions import Fraction

import pint

from helpers import reading
from helpers.facts import CAPITALS, ELEMENTS
from helpers.reading import DATE, MONTH, MONTHS, NUMBER, SMALL_TALK, WEEKDAYS, WORD, Unread

SORRY = "Sorry, "
LONGEST = 500  # characters of a request that a tool reads
MOST_BITS = 2000  # of a number in a calculation, some 600 digits
SPOKEN = {
    r"\bplus\b": "+",
    r"\bminus\b|\u2212": "-",
    r"\b(?:times|multiplied by)\b|\u00d7": "*",
    r"(?<=[\d)])(?<!\b0) ?x ?(?=[\d(])": "*",
    r"\bdivided by\b|\u00f7": "/",
    r" squared\b": "**2",
    r"\^|\bto the power of\b": "**",
    r"(?<=[\d)])!": " factorial",
    rf"({NUMBER}) ?(?:%|percent) of ({NUMBER})(?! ?[-+*/])": r"(\1/100*\2)",
}
AFTER, BEFORE = "add after from later plus", "before earlier prior"
QUOTED = re.compile(r"[\"\u201c]([^\"\u201c\u201d]+)[\"\u201d]|(?<!\w)'([^']+)'(?!\w)")
PLAY = set(
    """alphabet alphabetical alphabetically back backward backwards belongs characters contain count
    does end from front goes length letter letters long made number occur often order read reverse
    reversed sort spell times with word write""".split()
)
FACTS = "atom belongs capital chemical called city element goes governs name where with"
SYMBOL, NUMERAL = "abbreviated chemistry sign symbol", "atomic number periodic protons table"


def _tool(work):
    """A tool made of work(text): what it raises becomes a sentence, and long texts are declined."""

    def tool(text):
        if len(text) > LONGEST:
            return f"{SORRY}I read at most {LONGEST} characters."
        try:
            return work(" ".join(re.sub("[\u2018\u2019]", "'", text).split()))
        except Unread as sentence:
            return f"{SORRY}{sentence}"

    tool.__name__, tool.__doc__ = work.__name__, work.__doc__
    return tool


def answered(text):
    """Whether a tool's text looks like an answer: True unless it begins with "Sorry"."""
    return not text.startswith(SORRY)


def arithmetic(expression):
    """The value of an arithmetic expression, as an exact Fraction.

    expression: numbers, brackets and + - * / **, as text. It is parsed, not evaluated: a walk over
    the syntax tree does each operation, and knows no other. Raises ValueError, with a sentence, for
    anything else, for a division by zero and for numbers of more than some 600 digits.
    """
    if re.search(r"\.\d{15}|\d{15}\.", expression):  # a float would round them
        raise Unread("I know decimals of at most 14 digits.")
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except ZeroDivisionError:
        raise Unread("that would divide by zero.") from None
    except (SyntaxError, MemoryError, RecursionError):
        raise Unread("I cannot read that as a calculation.") from None


def _value(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = Fraction(str(node.value)) if abs(node.value) < 1e300 else Fraction(2**MOST_BITS)
    elif isinstance(node, ast.UnaryOp | ast.BinOp) and type(node.op) in OPERATIONS:
        parts = [node.operand] if isinstance(node, ast.UnaryOp) else [node.left, node.right]
        value = OPERATIONS[type(node.op)](*map(_value, parts))
    else:
        raise Unread("I only know numbers, brackets and + - * / **.")
    if _bits(value) >= MOST_BITS:
        raise Unread("that number would be too large to write down.")
    return value


def _power(base, exponent):
    if exponent.denominator != 1:
        raise Unread("I only know whole powers.")
    if abs(exponent) * _bits(base) >= MOST_BITS:  # before the work, not after it
        raise Unread("that number would be too large to write down.")
    return base ** int(exponent)


def _bits(value):
    return max(value.numerator.bit_length(), value.denominator.bit_length())


OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.USub: operator.neg}
OPERATIONS |= {ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: _power}


@_tool
def calculator(text):
    """Works out a calculation: 12 * (3 + 4), 15 % of 80, 7 plus 5; small talk around it is fine."""
    text = reading.plain_numbers(text.lower())
    for words, sign in SPOKEN.items():
        text = re.sub(words, sign, text)
    # Within a calculation the comma that small talk leaves is an error; "a + 1" is no small talk.
    small = re.compile(r"\b(?![a-z] ?[-+*/])[a-z']+")
    text = small.sub(lambda word: "," if word[0] in SMALL_TALK else word[0], text)
    text = re.sub(r"^[\s,:;!?=]+|[\s,.:;!?=]+$", "", text)
    if not re.search(r"\d[ )]*[-+*/]", text):
        raise Unread("I see no calculation in that.")
    unknown = re.search(r"[^\d\s.+*/()-]\S*", text)
    if unknown:
        raise Unread(f'I don\'t know what "{unknown[0][:20]}" means there.')
    return _written(arithmetic(text))


def _written(value):
    if value.denominator == 1 and abs(value) < 10**40:
        return str(value)
    if value and not 1e-300 < abs(value) < 10**300:
        raise Unread("that number would be too large or too small to write down.")
    return f"{float(value):.15g}"


@_tool
def units(text):
    """Converts a number with a unit into another unit: 5 miles in km. Gallons and pints are US."""
    text = re.sub(r"(?i)\bdegrees? |\u00b0", " ", reading.plain_numbers(text))
    text = re.sub(r"(?<=\d) ?in(?= (?:in|to|into|as)\b)", " inches", text)
    sizes = re.finditer(rf"({NUMBER}|\b(?:an?|one)\b) *([a-zA-Z]+)", text)
    sizes = [size for size in sizes if reading.unit(size[2])]
    if not sizes:
        raise Unread("I see no number with a unit that I know.")
    if len(sizes) > 1:
        raise Unread("I convert one number with one unit at a time.")
    rest = re.findall(WORD, text[: sizes[0].start()] + " " + text[sizes[0].end() :])
    targets = [word for word in rest if reading.unit(word)]
    reading.words(" ".join(word for word in rest if word not in targets), "far")
    if len(targets) != 1:
        raise Unread(f"I don't know into which unit to convert {sizes[0][0]}.")
    number, source = sizes[0].groups()
    return _converted(float(number) if number[-1].isdigit() else 1.0, source, targets[0])


def _converted(number, source, target):
    try:
        result = reading.registry.Quantity(number, reading.unit(source)).to(reading.unit(target))
    except pint.DimensionalityError:
        raise Unread(f"{source} and {target} measure different things.") from None
    if result.check("[temperature]") and result.to("kelvin").magnitude < 0:
        raise Unread("nothing is as cold as that.")
    digits = 6 if abs(result.magnitude) < 1e4 else 12
    return f"{result.magnitude:.{digits}g} {target}"


@_tool
def dates(text):
    """Days between two dates; a date so many days or weeks on; a date's weekday; a month's days."""
    text = text.lower()
    found, rest = [reading.date_of(match) for match in DATE.finditer(text)], DATE.sub(" ", text)
    if not found:
        return _days_of_month(text)
    if len(found) == 1:
        return _from_one_date(found[0], rest)
    reading.words(rest, "days day between from until till count long lie takes number")
    if len(found) > 2:
        raise Unread("I count the days between two dates only.")
    days = abs((found[1] - found[0]).days)
    return f"{days} day{'s' * (days != 1)}"


def _days_of_month(text):
    match = re.search(rf"\b(?:(\d{{1,2}}) )?({MONTH})\b(?: (?:in |of )?(\d{{4}})\b)?", text)
    if not match:
        raise Unread("I see no date in that.")
    year, number = max(1, int(match[3] or 2023)), reading.month_number(match[2])
    reading.in_calendar(date(year, number, 28))
    days, month = calendar.monthrange(year, number)[1], MONTHS[number - 1]
    if match[1] and not 1 <= int(match[1]) <= days + (number == 2):
        raise Unread(f"{month} has no day {match[1]}.")
    if match[1]:
        raise Unread("I need the year as well.")
    words = reading.words(text.replace(match[0], " "), "day days long length month")
    if words and not words & {"days", "long", "length"}:
        raise Unread(f"I can only say how long {month} is.")
    return f"{days} days{' (29 in a leap year)' * (number == 2 and not match[3])}"


def _from_one_date(day, rest):
    shift = re.search(r"\b(\d{1,6}|an?|one) (day|week)s?\b", rest)
    if not shift:
        reading.words(rest, f"day week weekday fall falls or {' '.join(WEEKDAYS).lower()}")
        return WEEKDAYS[day.weekday()]
    rest = rest.replace(shift[0], " ", 1)
    words = reading.words(rest, f"comes date starting than where {AFTER} {BEFORE}")
    back = not words.isdisjoint(BEFORE.split())
    if back == (not words.isdisjoint(AFTER.split())) and "starting" not in words:
        raise Unread("I don't know whether to count forward or back.")
    days = (int(shift[1]) if shift[1].isdigit() else 1) * (7 if shift[2] == "week" else 1)
    try:
        day = reading.in_calendar(day + timedelta(-days if back else days))
    except OverflowError:
        raise Unread("that is further than my calendar goes.") from None
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


@_tool
def table(text):
    """Looks up a country's capital, or an element's symbol or atomic number."""
    text = text.lower().replace("aluminum", "aluminium").replace("sulphur", "sulfur")
    names = set(re.findall("[a-z]+", text)) & {*CAPITALS, *ELEMENTS}
    if len(names) != 1:
        raise Unread("nothing in my table has a name that I see there.")
    (name,) = names
    words = reading.words(re.sub(r"'s\b", "", text), f"{name} {FACTS} {SYMBOL} {NUMERAL}")
    alone = re.fullmatch(rf"((what is|what's|what about) )?{name}\W*", text)
    if name in CAPITALS and (alone or "capital" in words or "city" in words):
        return CAPITALS[name]
    asked = [alone or not words.isdisjoint(kind.split()) for kind in (SYMBOL, NUMERAL)]
    if name in CAPITALS or not any(asked):
        raise Unread(f"I don't know what you want to know of {name}.")
    symbol, number = ELEMENTS[name]
    return f"{symbol}, number {number}" if all(asked) else symbol if asked[0] else str(number)


@_tool
def wordplay(text):
    """Reverses or sorts a single word, or counts its letters; else it counts the words it got."""
    count = len(re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text))
    if not count:
        raise Unread("I see no word in that.")
    return _play(text) or f"Your text has {count} word{'s' * (count > 1)}."


def _play(text):
    """The answer about a single word, or None."""
    rest = re.findall(WORD, re.sub(QUOTED, " ", text))
    asked = {word.lower() for word in rest}
    letters = {word[0] for word in asked if word[1:] == "'s"}
    if asked & {"times", "often"} and asked & {"in", "occur"}:
        letters = letters or {word for word in asked if len(word) == 1}
    known = SMALL_TALK | PLAY | letters | {f"{letter}'s" for letter in letters}
    named = {word for word in rest if word.lower() not in known}
    named |= {double or single for double, single in re.findall(QUOTED, text)}
    if len(named) == 1 and len(letters) < 2 and any(map(str.isalpha, *named)):
        return _of_word(*named, asked, "".join(letters))
    return None


def _of_word(word, asked, letter):
    ends = {"from", "end"} <= asked or {"back", "front"} <= asked
    backwards = ends or asked & {"reverse", "reversed", "backward", "backwards"}
    if asked & {"alphabetical", "alphabetically", "sort"}:
        return None if backwards else "".join(sorted(word.lower()))
    if backwards:
        return word[::-1]
    if letter:
        return str(word.lower().count(letter))
    many = asked & {"many", "count"} and asked & {"letters", "characters"}
    if many or asked & {"length", "long", "number"}:
        return str(len(word) if "characters" in asked else sum(map(str.isalpha, word)))
    return None


@_tool
def person(text):
    """Asks a person. The course has none to ask, so to a request of your own this is the answer."""
    raise Unread("a person would have to answer that, and would know.")


TOOLS = {tool.__name__: tool for tool in (calculator, units, dates, table, wordplay, person)}
