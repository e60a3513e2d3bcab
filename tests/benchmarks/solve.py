"""How many CartPole agents does A2C solve, and at what cost?

    python tests/benchmarks/solve.py [--agents 32] [--side-by-side 8] [--first-seed 5000]

Each batch of agents trains with training.CARTPOLE from a seed of its own, then each agent plays 100
fresh episodes with sampled actions. Solved: a mean return of at least 475. The seeds from 5000 on
were not used for choosing the settings.
"""

import argparse
import time

import torch

from helpers.training import CARTPOLE, a2c, evaluate


def train(agents, seed):
    """Train and evaluate; returns the agents' mean returns, and the CPU and wall seconds of training."""
    cpu, wall = time.process_time(), time.perf_counter()
    for progress in a2c("CartPole-v1", agents=agents, seed=seed, **CARTPOLE):
        pass
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    returns = evaluate(progress.actor, "CartPole-v1", episodes=100, seed=seed + 1_000_000)
    return returns.mean(1), cpu, wall


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--agents", type=int, default=32)
    parser.add_argument("--side-by-side", type=int, default=8)
    parser.add_argument("--first-seed", type=int, default=5000)
    options = parser.parse_args()
    train(1, 0)  # warm-up: the first use of torch's optimisers takes seconds
    returns, cpus, walls = [], [], []
    print("batch  solved  worst  CPU s per agent  wall s")
    for batch in range(-(-options.agents // options.side_by_side)):
        means, cpu, wall = train(options.side_by_side, options.first_seed + batch)
        returns.append(means)
        cpus.append(cpu / options.side_by_side)
        walls.append(wall)
        solved = int((means >= 475).sum())
        print(
            f"{batch:5}  {solved:6}  {means.min():5.0f}  {cpus[-1]:15.2f}  {wall:6.2f}", flush=True
        )
    returns, cpus, walls = torch.cat(returns), torch.tensor(cpus), torch.tensor(walls)
    print(
        f"{int((returns >= 475).sum())} of {len(returns)} agents solved, the worst at "
        f"{returns.min():.1f}; CPU s per agent: median {cpus.median():.2f}, from {cpus.min():.2f} "
        f"to {cpus.max():.2f}; wall s of a batch: median {walls.median():.2f}"
    )


if __name__ == "__main__":
    main()
