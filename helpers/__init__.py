"""What the lessons import: networks, losses, training loops, exact solutions, live panels.

One module a concept; imports run downward only: live, plots and checks may import training, which
joins loop and updates, which import rollout, losses and returns, which import networks and errors.
"""

import os
import sys

from helpers.errors import SlipError

if not (3, 11) <= sys.version_info[:2] <= (3, 14):  # before the imports that would fail elsewhere
    raise SlipError(
        f"The course runs on Python 3.11 to 3.14, but this is Python {sys.version.split()[0]}. "
        "Make its environment anew by the first command of README.md, with one of these versions."
    )

import torch
from threadpoolctl import threadpool_limits

from helpers import envs  # noqa: F401  (registers the course's environments with Gymnasium)


def in_foreground():
    """Whether nobody is looking, as the environment variable COURSE_FOREGROUND says (tests and authors
    set it): panels then train at once in the calling thread, and figures are stored alone."""
    return os.environ.get("COURSE_FOREGROUND", "0") not in ("", "0")


# The networks are tiny: a second thread costs more to wake than it saves, and where another program
# runs, threads that wait for each other make the matrix products of NumPy and SciPy slower tenfold.
torch.set_num_threads(1)
threadpool_limits(1, user_api="blas")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # SciPy brings its own, loaded later
