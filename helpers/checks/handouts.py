"""Copies of notebooks without the solutions that stand folded in them."""

import json
import re
from pathlib import Path

from helpers.errors import SlipError

SOLUTION = re.compile(r"<details>\s*<summary>Solution</summary>.*?</details>\n?", re.DOTALL)


def write(paths, folder):
    """Copy the notebooks into the folder; all but the solutions stays, byte for byte, in a file as
    Jupyter stores it. Raises SlipError, before it writes, where a file would be overwritten."""
    copies = [folder / path.name for path in paths]
    if len(set(copies)) < len(copies):
        raise SlipError("Two of the notebooks have the same name.")
    for copy in copies:
        if copy.exists():
            raise SlipError(f"{copy} exists already: name another folder.")
    texts = [without_solutions(path) for path in paths]
    folder.mkdir(parents=True, exist_ok=True)
    for copy, text in zip(copies, texts):
        copy.write_bytes(text.encode("utf-8"))
    return copies


def without_solutions(path):
    """The text of the notebook at path, without its solutions."""
    try:
        notebook = json.loads(Path(path).read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                source = SOLUTION.sub("", "".join(cell["source"]))
                cell["source"] = source.splitlines(keepends=True)
    except OSError as error:
        raise SlipError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError) as error:
        raise SlipError(f"{path} is no notebook ({type(error).__name__}).") from None
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"
