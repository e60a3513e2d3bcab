"""Ask OSV (osv.dev), which holds PyPI's and GitHub's advisories, about each package of the lock.

    python tests/audit_lock.py [--service ADDRESS] [requirements file]

Exits with 0 if no advisory is known, with 1 if any is, and with 2, loudly, if nobody could be
asked: then nothing is known. (pip-audit leaves out what the lock pins for other systems, and ends
in the same exit code for both.)
"""

import argparse
import json
import sys
from pathlib import Path
from urllib.request import Request, urlopen

LOCK = Path(__file__).resolve().parent.parent / "requirements.txt"
SERVICE = "https://api.osv.dev/v1/querybatch"
SECONDS = 60


def pins(path):
    """(name, version) of each package that the lock pins, on whatever system."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return [tuple(line.split(" ;")[0].split("==")) for line in lines if "==" in line]


def advisories(packages, service):
    """Numbers of known advisories for each (name, version). OSError, ValueError: no answer."""
    queries = [
        {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
        for name, version in packages
    ]
    request = Request(service, json.dumps({"queries": queries}).encode())
    request.add_header("Content-Type", "application/json")
    with urlopen(request, timeout=SECONDS) as answer:
        results = json.load(answer)
    try:
        found = [[v["id"] for v in result.get("vulns", [])] for result in results["results"]]
    except (AttributeError, KeyError, TypeError):
        raise ValueError("it did not answer as OSV does") from None
    if len(found) != len(packages):
        raise ValueError(f"it answered on {len(found)} of {len(packages)} packages")
    return found


def main(arguments=None):
    """Run the command; see the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--service", default=SERVICE)
    parser.add_argument("requirements", nargs="?", type=Path, default=LOCK)
    options = parser.parse_args(arguments)
    packages = pins(options.requirements)
    try:
        found = advisories(packages, options.service)
    except (OSError, ValueError) as error:
        print(f"NOT CHECKED: {options.service} gave no answer ({error}).", file=sys.stderr)
        print("Whether the lock has known weaknesses is unknown. Try again.", file=sys.stderr)
        return 2
    for (name, version), numbers in zip(packages, found):
        for number in numbers:
            print(f"{name} {version}: https://osv.dev/{number}")
    weak = sum(map(bool, found))
    print(f"{weak} of {len(packages)} packages have known advisories.")
    return 1 if weak else 0


if __name__ == "__main__":
    sys.exit(main())
