"""The course's own environments. Importing this registers them with Gymnasium:

gymnasium.make("GridWorld-v0", size=5), gymnasium.make_vec("GridWorld-v0", num_envs=8).
Each is a finite problem kept as one table, which helpers.exact solves; but for ToolTasks, whose
states are texts, and course/Pendulum-v1, which is Gymnasium's own.
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
gymnasium.register(
    "course/Pendulum-v1",  # Gymnasium's own, with a vector form
    entry_point="gymnasium.envs.classic_control.pendulum:PendulumEnv",
    vector_entry_point="helpers.envs.pendulum:vector",
    max_episode_steps=200,
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
