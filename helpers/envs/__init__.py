"""The course's own environments. Importing this registers them with Gymnasium:

gymnasium.make("GridWorld-v0", size=5), gymnasium.make_vec("GridWorld-v0", num_envs=8).
Each is a finite problem kept as one table, which helpers.exact solves; but for ToolTasks, whose
states are texts, and course/Pendulum-v1, MountainCar-v0 and Acrobot-v1, which are Gymnasium's own.
"""

import gymnasium

for name, module, steps in (
    ("ShortCorridor", "corridor", 1000),
    ("GridWorld", "gridworld", 1000),
    ("TrapGridWorld", "gridworld", 200),
    ("ToolTasks", "tool_tasks", 20),
    ("SupportChat", "support", 1000),
    ("SupportHistory", "support", 1000),
):
    gymnasium.register(
        f"{name}-v0",
        entry_point=f"helpers.envs.{module}:{name}",
        vector_entry_point=f"helpers.envs.{module}:{name}Vector",
        max_episode_steps=steps,
    )
for name, module in (
    ("Pendulum-v1", "pendulum"),
    ("MountainCar-v0", "mountain_car"),
    ("Acrobot-v1", "acrobot"),
):
    spec = gymnasium.spec(name)
    gymnasium.register(
        f"course/{name}",  # Gymnasium's own, with a vector form
        entry_point=spec.entry_point,
        vector_entry_point=f"helpers.envs.{module}:vector",
        max_episode_steps=spec.max_episode_steps,
        reward_threshold=spec.reward_threshold,
    )
gymnasium.register(
    "course/Robots-v0",  # each robot of a team is a row, so there is no form with a single one
    vector_entry_point="helpers.envs.robot_teams:RobotsVector",
    max_episode_steps=50,
)
gymnasium.register(
    "course/Sale-v0",  # it ends by itself, when the days or the items are used up
    entry_point="helpers.envs.sale:Sale",
    vector_entry_point="helpers.envs.sale:SaleVector",
    max_episode_steps=1000,
)
