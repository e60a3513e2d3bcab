"""Requests as people type them, read strictly: words, numbers, units and dates.

Whatever could mean two things, or nothing, raises Unread, whose sentence says why: the tools of
helpers.tools answer rightly or not at all. Units and their spellings are pint's. Parsers of dates
guess: dateutil makes 13 April of 2021-13-04, dateparser finds a date in "May I have 3 sugars".
"""

import re
from datetime import date

import pint

WORD = r"[^\s,;:?!.\"]+"
NUMBER = r"(?<![\w.])-?\d{1,15}(?:\.\d{1,15})?(?![\d,]|\.\d)"
SMALL_TALK = set(
    """a about all am an and answer are as at be calculate can change compute convert could did
    do does equal equals evaluate exactly express find for get give had has have hello hey hi
    how i i'd i'm in into is it it's its just know let like look make makes many me much need
    now of ok on out please result say show so solve tell thank thanks that that's the then
    there this to turn us value want was we were what what's whats which will work would
    you""".split()
)
METRIC = {"meter", "gram", "liter", "second"}  # only these take kilo, milli, ...
UNITS = METRIC | set(
    """foot inch yard mile pound ounce stone metric_ton gallon quart pint cup minute hour day week
    degree_Celsius degree_Fahrenheit kelvin""".split()
)
MONTHS = (
    "January February March April May June July August September October November December".split()
)
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTH = "|".join(f"{month[:3]}(?:{month[3:]})?" for month in map(str.lower, MONTHS)) + "|sept"
DAY = r"\d{1,2}(?:st|nd|rd|th)?"
DATE = re.compile(
    rf"\b(?P<d1>{DAY})[ -](?:of )?(?P<m1>{MONTH})\.?(?:, ?|[ -])(?P<y1>\d{{4}})\b"
    rf"|\b(?P<m2>{MONTH})\.? (?P<d2>{DAY})(?:, ?| )(?P<y2>\d{{4}})\b"
    r"|(?<![\w/.-])(?P<y3>\d{4})(?P<t>[-/])(?P<m3>\d{1,2})(?P=t)(?P<d3>\d{1,2})(?![\w/-])"
    r"|(?<![\w/.-])(?P<d4>\d{1,2})(?P<s>[-/.])(?P<m4>\d{1,2})(?P=s)(?P<y4>\d{4})(?![\w/-])"
)

registry = pint.UnitRegistry()


class Unread(ValueError):
    """A sentence for whoever asked."""


def words(text, known=""):
    """The set of words in a text; raises Unread at one that is neither small talk nor known."""
    found = re.findall(WORD, text.lower())
    for word in found:
        if word not in SMALL_TALK and word not in known.split():
            raise Unread(f'I don\'t know what "{word[:20]}" means there.')
    return set(found)


def plain_numbers(text):
    """The text without the commas of 1,234,567; any other comma within a number is declined."""
    grouped = r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d,])"
    text = re.sub(grouped, lambda match: match[0].replace(",", ""), text)
    if re.search(r"\d,\d", text):
        raise Unread("I read numbers like 1,234.5: commas for thousands, a point for decimals.")
    return text


def unit(word):
    """pint's name of a unit as people write it, or None."""
    word = {"c": "celsius", "f": "fahrenheit", "k": "kelvin"}.get(word.lower(), word)
    for spelling in (word, word.lower()) if word.lower() not in SMALL_TALK else ():
        for prefix, name, _ in registry.parse_unit_name(spelling):
            if name in (METRIC if prefix else UNITS):
                return prefix + name
    return None


def month_number(name):
    """1 to 12, of a name that MONTH matches."""
    return 1 + [month[:3].lower() for month in MONTHS].index(name[:3])


def date_of(match):
    """The date that DATE found: 3-4-2021 and 3.4.2021 are 3 April, 3/4/2021 is declined."""
    parts = {key[0]: part for key, part in match.groupdict().items() if part}
    month, year, day = parts["m"], int(parts["y"]), int(re.match(r"\d+", parts["d"])[0])
    month = int(month) if month.isdigit() else month_number(month)
    if parts.get("s") == "/" and day != month:
        if max(day, month) <= 12:
            raise Unread(f"{match[0]} may be in two months: write the month as a word.")
        day, month = max(day, month), min(day, month)
    try:
        found = date(year, month, day)
    except ValueError:
        raise Unread(f"there is no such date as {match[0].title()}.") from None
    return in_calendar(found)


def in_calendar(day):
    """The date itself, unless it is from before our calendar, when other rules held."""
    if day < date(1582, 10, 15):
        raise Unread("my calendar begins on 15 October 1582.")
    return day
