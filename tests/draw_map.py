"""README's map, drawn anew: lesson 00's hundred positions of both sliders, sixteen agents each.

    python tests/draw_map.py

Takes six minutes on two cores.
"""

import torch
from lesson_cells import NOTEBOOKS, Lesson

from helpers import live
from helpers.live.controls import number_text

AGENTS = 16


def train(GAMMAS, RATES, train_all, **_):
    """Mean return of each cell's agents at the end, over recent training episodes: [rows, columns]."""
    gammas, rates = zip(*[(gamma, rate) for gamma in GAMMAS for rate in RATES])
    runs = []
    for seed in range(AGENTS):
        for progress in train_all([*gammas], [*rates], seed):
            pass
        runs.append(progress.recent_returns.view(len(GAMMAS), len(RATES)))
    return torch.stack(runs).mean(0)


def draw(returns, GAMMAS, RATES, **_):
    cells = live.Map(
        rows=[number_text(gamma) for gamma in GAMMAS],
        columns=[number_text(rate) for rate in RATES],
        label=f"return (mean of {AGENTS} agents)",
        ends=(0, 500),
        cmap="cividis",
        xlabel="initial learning rate",
        ylabel="discount gamma",
    )
    picture = live.Picture(cells, size=(8.2, 4.2))
    picture.add(live.Item(returns))
    (NOTEBOOKS.parent / ".github" / "map.png").write_bytes(picture.png(2))


if __name__ == "__main__":
    lesson = Lesson(0).run("cell-03", "map-places")
    draw(train(**lesson), **lesson)
