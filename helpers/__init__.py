"""What the lessons import: networks, losses, training loops, exact solutions, live panels.

One module a concept; imports run downward only: live, plots, player and checks may import
training, which imports rollout, losses and returns, which import networks, exact, envs, errors.
"""

import torch

from helpers import envs  # noqa: F401  (registers the course's environments with Gymnasium)

# The networks are tiny: a second thread costs more to wake than it saves.
torch.set_num_threads(1)
