"""Mark a class, or write notebooks without solutions.

    python -m helpers.checks FOLDER_OR_FILES [--csv FILE]
    python -m helpers.checks --without-solutions NEW_FOLDER [NOTEBOOKS]

The first runs each notebook handed in, in a kernel of its own, and prints who solved which exercise;
where a check is called several times, its last call counts. That executes your students' code. The
second copies the notebooks (all lessons, if none is named) into a folder, without their solutions.
Exit code: 0 if all notebooks ran, 1 if some did not, 2 if nothing could begin.
"""

import argparse
import sys
import time
from pathlib import Path

from helpers.checks import handouts, marking
from helpers.errors import SlipError


def main(arguments=None):
    """Run the command; see the top of this file."""
    parser = _parser()
    options = parser.parse_args(arguments)
    sys.stdout.reconfigure(errors="backslashreplace")  # a name that this terminal cannot show
    try:
        if options.without_solutions:
            return _hand_out(options)
        return _mark(options)
    except OSError as error:
        parser.error(f"{error.filename or 'The output'} cannot be used: {error.strerror}.")
    except SlipError as error:
        parser.error(str(error))


def _parser():
    parser = argparse.ArgumentParser(
        "python -m helpers.checks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, each = parser.add_argument, "for each notebook (default: %(default)s)"
    add("notebooks", nargs="*", type=Path, metavar="FOLDER_OR_FILES")
    add("--csv", type=_csv_file, metavar="FILE", help="write the table there as well (UTF-8)")
    add("--minutes", type=positive_number, default=10, help=each)
    add("--megabytes", type=positive_number, default=3000, help=each)
    add("--without-solutions", type=Path, metavar="NEW_FOLDER")
    return parser


def positive_number(text):
    if not 0 < float(text) < float("inf"):
        raise ValueError
    return float(text)


def _csv_file(text):
    if not text.lower().endswith(".csv"):  # by a slip it may be a notebook, or a folder
        raise argparse.ArgumentTypeError(f"the name {text} must end with .csv")
    return Path(text)


def _hand_out(options):
    found = marking.hand_ins(options.notebooks or [marking.NOTEBOOKS])
    for path in handouts.write([path for _, path in found], options.without_solutions):
        print(path)
    return 0


def _mark(options):
    found = marking.hand_ins(options.notebooks)
    if options.csv:
        options.csv.open("a").close()  # fails now, not after an hour
    course = marking.lessons()
    marks = [marking.Mark(name, {}, "marking was stopped") for name, _ in found]
    try:
        for i, (name, path) in enumerate(found):
            begin = time.monotonic()
            print(f"{i + 1} of {len(found)}: {name} ...", end=" ", flush=True)
            marks[i] = marking.mark(name, path, course, options.minutes, options.megabytes)
            print(f"{marks[i]} ({time.monotonic() - begin:.0f} s)", flush=True)
    except KeyboardInterrupt:
        print("stopped")
    print(*marking.table(marks), sep="\n")
    if options.csv:
        marking.write_csv(options.csv, marks)
    return int(any(mark.reason for mark in marks))


if __name__ == "__main__":
    sys.exit(main())
