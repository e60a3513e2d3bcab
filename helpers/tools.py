"""Six tools that really run: each takes a request as text and returns an answer as text.

A tool that cannot help says so in a sentence that begins with "Sorry". None raises, none takes
longer than a moment, and nothing in a request is ever evaluated as Python.
"""

import ast
import calendar
import operator
import re
from datetime import date, timedelta
from fractions import Fraction

import pint

SORRY = "Sorry, "
LONGEST = 500  # characters of a request that a tool reads
MOST_BITS = 2000  # of a number in a calculation, some 600 digits
OPERATIONS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: None,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
SPOKEN = {
    r"\bplus\b": "+",
    r"\bminus\b|\u2212": "-",
    r"\btimes\b|\bmultiplied by\b|\u00d7": "*",
    r"\bdivided by\b|\u00f7": "/",
    r"\bsquared\b": "**2",
    r"\^": "**",
    r"(?:%|\bpercent) of\b": "/100*",
}
UNIT = re.compile(
    r"\b(?:(?:kilo|centi|milli)?met(?:er|re)s?|km|cm|mm|miles?|yards?|feet|foot|inch(?:es)?|"
    r"(?:kilo)?grams?|kg|pounds?|ounces?|(?:milli)?lit(?:er|re)s?|gallons?|pints?|"
    r"celsius|fahrenheit|kelvin|hours?|minutes?|seconds?)\b"
)
NUMBER = r"(?<![\w.])-?\d+(?:\.\d+)?"
MONTHS = (
    "january february march april may june july august september october november december".split()
)
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTH = "|".join(MONTHS)
DATE = re.compile(
    rf"\b(?P<d>\d{{1,2}})(?: |-)(?P<m>{MONTH}|\d{{1,2}})(?: |-)(?P<y>\d{{4}})\b"
    r"|\b(?P<y2>\d{4})-(?P<m2>\d{1,2})-(?P<d2>\d{1,2})\b"
)
# Names, symbols and atomic numbers (by position): IUPAC Periodic Table of the Elements, 4 May 2022.
ELEMENTS = {
    name: (symbol, number)
    for number, (name, symbol) in enumerate(
        (
            pair.split(":")
            for pair in """
    hydrogen:H helium:He lithium:Li beryllium:Be boron:B carbon:C nitrogen:N oxygen:O fluorine:F
    neon:Ne sodium:Na magnesium:Mg aluminium:Al silicon:Si phosphorus:P sulfur:S chlorine:Cl
    argon:Ar potassium:K calcium:Ca scandium:Sc titanium:Ti vanadium:V chromium:Cr manganese:Mn
    iron:Fe cobalt:Co nickel:Ni copper:Cu zinc:Zn gallium:Ga germanium:Ge arsenic:As selenium:Se
    bromine:Br krypton:Kr""".split()
        ),
        start=1,
    )
}
# Capitals: UN Statistics Division, Demographic Yearbook, table of capital cities.
CAPITALS = dict(
    pair.replace("_", " ").split(":")
    for pair in """
    austria:Vienna belgium:Brussels canada:Ottawa cuba:Havana denmark:Copenhagen egypt:Cairo
    finland:Helsinki france:Paris germany:Berlin greece:Athens hungary:Budapest iceland:Reykjavik
    ireland:Dublin italy:Rome japan:Tokyo kenya:Nairobi mexico:Mexico_City norway:Oslo peru:Lima
    poland:Warsaw portugal:Lisbon spain:Madrid sweden:Stockholm thailand:Bangkok""".split()
)

_registry = pint.UnitRegistry()


class _Sorry(Exception):
    """A sentence for whoever asked."""


def _tool(work):
    """A tool made of work(text): what it raises becomes a sentence, and long texts are declined."""

    def tool(text):
        if len(text) > LONGEST:
            return f"{SORRY}I read at most {LONGEST} characters."
        try:
            return work(" ".join(text.split()))
        except _Sorry as sentence:
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
    try:
        return _value(ast.parse(expression.strip(), mode="eval").body)
    except ZeroDivisionError:
        raise ValueError("that would divide by zero.") from None
    except (SyntaxError, MemoryError, RecursionError):
        raise ValueError("I cannot read that as a calculation.") from None


def _value(node):
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        value = Fraction(str(node.value)) if abs(node.value) < 1e300 else Fraction(2**MOST_BITS)
    elif isinstance(node, ast.UnaryOp) and type(node.op) in OPERATIONS:
        value = OPERATIONS[type(node.op)](_value(node.operand))
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow):
        value = _power(_value(node.left), _value(node.right))
    elif isinstance(node, ast.BinOp) and type(node.op) in OPERATIONS:
        value = OPERATIONS[type(node.op)](_value(node.left), _value(node.right))
    else:
        raise ValueError("I only know numbers, brackets and + - * / **.")
    if _bits(value) >= MOST_BITS:
        raise ValueError("that number would be too large to write down.")
    return value


def _power(base, exponent):
    if exponent.denominator != 1:
        raise ValueError("I only know whole powers.")
    if abs(exponent) * _bits(base) >= MOST_BITS:  # before the work, not after it
        raise ValueError("that number would be too large to write down.")
    return base ** int(exponent)


def _bits(value):
    return max(value.numerator.bit_length(), value.denominator.bit_length())


@_tool
def calculator(text):
    """Works out the longest calculation in the text: 12 * (3 + 4), 15 % of 80, 7 plus 5."""
    text = text.lower()
    for words, sign in SPOKEN.items():
        text = re.sub(words, sign, text)
    pieces = [piece.strip(" .+*/") for piece in re.findall(r"[\d .+*/()-]+", text)]
    pieces = [piece for piece in pieces if re.search(r"\d[ )]*[-+*/]", piece)]
    if not pieces:
        raise _Sorry("I see no calculation in that.")
    try:
        return _written(arithmetic(max(pieces, key=len)))
    except ValueError as error:
        raise _Sorry(str(error)) from None


def _written(value):
    if value.denominator == 1 and abs(value) < 10**15:
        return str(value)
    if abs(value) >= 10**300:
        raise _Sorry("that number would be too large to write down.")
    return f"{float(value):.10g}"


@_tool
def units(text):
    """Converts a number with a unit into the other unit that the text names: 5 miles in km."""
    text = text.lower().replace("°c", "celsius").replace("°f", "fahrenheit").replace("degrees ", "")
    source = re.search(rf"({NUMBER}) ?({UNIT.pattern})", text)
    if not source:
        raise _Sorry("I see no number with a unit that I know.")
    rest = text[: source.start()] + " " + text[source.end() :]
    targets = UNIT.findall(rest)
    if not targets:
        raise _Sorry(f"I don't know into which unit to convert {source[0]}.")
    try:
        result = _registry.Quantity(float(source[1]), source[2]).to(targets[0])
    except pint.DimensionalityError:
        raise _Sorry(f"{source[2]} and {targets[0]} measure different things.") from None
    return f"{result.magnitude:.6g} {targets[0]}"


@_tool
def dates(text):
    """Days between two dates; a date so many days or weeks on; a date's weekday; a month's days."""
    text = text.lower()
    found = [_date(match) for match in DATE.finditer(text)]
    if len(found) >= 2:
        days = abs((found[1] - found[0]).days)
        return f"{days} day{'s' * (days != 1)}"
    if found:
        return _from_one_date(found[0], DATE.sub(" ", text))
    month = re.search(rf"\b(?:(\d{{1,2}}) )?({MONTH})\b", text)
    if not month:
        raise _Sorry("I see no date in that.")
    days = calendar.monthrange(2023, MONTHS.index(month[2]) + 1)[1]
    if month[1]:
        _check_day(int(month[1]), month[2])
        raise _Sorry("I need the year as well.")
    return f"{days} days"


def _date(match):
    """The date that DATE found; day before month, unless the year comes first."""
    day, month, year = (match[key] or match[f"{key}2"] for key in "dmy")
    if month in MONTHS:
        _check_day(int(day), month)
        month = MONTHS.index(month) + 1
    try:
        return date(int(year), int(month), int(day))
    except ValueError:
        raise _Sorry(f"there is no such date as {match[0]}.") from None


def _check_day(day, month):
    if not 1 <= day <= calendar.monthrange(2024, MONTHS.index(month) + 1)[1]:
        raise _Sorry(f"{month.title()} has no day {day}.")


def _from_one_date(day, text):
    shift = re.search(r"\b(\d{1,6}) (day|week)s?\b", text)
    if not shift:
        return WEEKDAYS[day.weekday()]
    days = int(shift[1]) * (7 if shift[2] == "week" else 1)
    back = re.search(r"\b(?:before|earlier|ago|previous|prior)\b", text)
    try:
        day += timedelta(-days if back else days)
    except OverflowError:
        raise _Sorry("that is further than my calendar goes.") from None
    return f"{day.day} {MONTHS[day.month - 1].title()} {day.year}"


@_tool
def table(text):
    """Looks up a country's capital, or an element's symbol or atomic number."""
    words = set(re.findall(r"[a-z]+", text.lower()))
    for country, capital in CAPITALS.items():
        if country in words:
            return capital
    for element, (symbol, number) in ELEMENTS.items():
        if element in words:
            return symbol if words & {"symbol", "abbreviated", "letters", "sign"} else str(number)
    raise _Sorry("nothing in my table has a name that I see there.")


@_tool
def wordplay(text):
    """Works on a word, the one in quotes or else the last: reverses, sorts, counts its letters."""
    words = re.findall(r"[^\W\d_]+", text)
    if not words:
        raise _Sorry("I see no word in that.")
    quoted = re.search(r"[\"\u201c'\u2018]([^\W\d_]+)[\"\u201d'\u2019]", text)
    word, asked = quoted[1] if quoted else words[-1], text.lower()
    if re.search(r"revers|backward|back to front|from the end", asked):
        return word[::-1]
    letter = re.search(r"(?<![\w'])([a-z])\b(?=.*\b(?:in|has|have|contain|find)\b)", asked)
    if letter and quoted:
        return str(word.lower().count(letter[1]))
    if re.search(r"alphabet|sort", asked):
        return "".join(sorted(word.lower()))
    if re.search(r"letter|length|long|number|characters", asked):
        return str(len(word))
    return f"Your text has {len(words)} word{'s' * (len(words) > 1)}."


@_tool
def person(text):
    """Asks a person. The course has none to ask, so to a request of your own this is the answer."""
    raise _Sorry("a person would have to answer that, and would know.")


TOOLS = {
    "calculator": calculator,
    "units": units,
    "dates": dates,
    "table": table,
    "wordplay": wordplay,
    "person": person,
}
