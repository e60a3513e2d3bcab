"""The course's own environments. Importing this registers them with Gymnasium:

gymnasium.make("GridWorld-v0", size=5), gymnasium.make_vec("GridWorld-v0", num_envs=8).
Each is a finite problem kept as one table, which helpers.exact solves: see corridor and gridworld.
"""

import gymnasium

for name, module in (("ShortCorridor", "corridor"), ("GridWorld", "gridworld")):
    gymnasium.register(
        f"{name}-v0",
        entry_point=f"helpers.envs.{module}:{name}",
        vector_entry_point=f"helpers.envs.{module}:{name}Vector",
        max_episode_steps=1000,
    )
