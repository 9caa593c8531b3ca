"""Checks that families and vector environments keep the contract, for the tests of this package and of yours.

    from metarl_envs.testing import check_family, check_vector_env

    def test_maze():
        check_family("my_package:Mine/Maze-v0", size=5)
        check_vector_env("my_package:Mine/Maze-v0", size=5, horizon=10)

`FAMILY_CHECKS` and `VECTOR_CHECKS` hold the single checks, so that a test can be parametrised over them. Each raises
an AssertionError that says what is wrong and what would be right. `python -m metarl_envs.testing ID [PARAMS AS JSON]`
prints the hash of a run of whole trials; it is the same in every process, compiled and plain.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
from gymnasium.vector import AutoresetMode, VectorEnv

from metarl_envs.ids import id_of
from metarl_envs.testing.declaration import (
    check_gymnasium,
    check_heuristics,
    check_no_constant_observation,
    check_reference_page,
    check_spaces,
    check_splits,
)
from metarl_envs.testing.fairness import check_fair_parts, part_p_values
from metarl_envs.testing.hidden import check_first_observation, check_ground_truth, check_pictures, check_task_matters
from metarl_envs.testing.reproducible import (
    check_interleaving,
    check_no_shared_memory,
    check_plain_mode,
    check_processes,
    check_snapshots,
)
from metarl_envs.testing.returns import check_memoryless, check_oracle, check_returns, check_rewards, check_starts
from metarl_envs.testing.runs import trajectory_hash
from metarl_envs.testing.trials import check_last_step, check_next_episodes, check_refusals, check_trial_contract
from metarl_envs.testing.vector import (
    VectorSubject,
    check_vector_attributes,
    check_vector_equals_single,
    check_vector_ignored_action,
    check_vector_info,
    check_vector_no_shared_memory,
    check_vector_outputs,
    check_vector_reset_mask,
)

#: In this order: what fails early explains what would fail later.
FAMILY_CHECKS: tuple[Callable[[str, dict[str, Any]], None], ...] = (
    check_plain_mode,
    check_oracle,
    check_reference_page,
    check_heuristics,
    check_gymnasium,
    check_processes,
    check_interleaving,
    check_no_shared_memory,
    check_spaces,
    check_trial_contract,
    check_last_step,
    check_next_episodes,
    check_refusals,
    check_ground_truth,
    check_first_observation,
    check_task_matters,
    check_starts,
    check_returns,
    check_rewards,
    check_memoryless,
    check_snapshots,
    check_no_constant_observation,
    check_splits,
    check_fair_parts,
    check_pictures,
)

VECTOR_CHECKS: tuple[Callable[[VectorSubject], None], ...] = (
    check_vector_attributes,
    check_vector_outputs,
    check_vector_no_shared_memory,
    check_vector_info,
    check_vector_reset_mask,
    check_vector_equals_single,
    check_vector_ignored_action,
)

__all__ = [
    "FAMILY_CHECKS",
    "VECTOR_CHECKS",
    "VectorSubject",
    "check_family",
    "check_vector_env",
    "part_p_values",
    "trajectory_hash",
]


def check_family(id: str, **params: Any) -> None:
    """Run every check of `FAMILY_CHECKS` on a registered family.

    Args:
        id: as `metarl_envs.tasks` takes it. Processes are started, so an id outside this package needs its module in
            front: `"my_package:Mine/Maze-v0"`.
        params: the family's parameters. A shorter `horizon` makes the checks faster.

    Raises:
        AssertionError: what is wrong, and what would be right.
    """
    for check in FAMILY_CHECKS:
        check(id if ":" in id else id_of(id), params)


def check_vector_env(
    id_or_factory: str | Callable[..., VectorEnv],
    *,
    single: Callable[[], gym.Env] | None = None,
    num_envs: int = 3,
    steps: int = 200,
    modes: Sequence[AutoresetMode] = tuple(AutoresetMode),
    **params: Any,
) -> None:
    """Run every check of `VECTOR_CHECKS` on a vector environment, in each autoreset mode.

    It may be any `gymnasium.vector.VectorEnv`. Where `info` holds no `trial`, what concerns trials is left out.

    Args:
        id_or_factory: an id for `gymnasium.make_vec`, or `factory(num_envs=..., autoreset_mode=...)`.
        single: makes the single environment that row i, seeded s, must equal when that is seeded s + i. Left out, it is
            `gymnasium.make` of the id; a factory without it is not compared.
        num_envs: the number of rows.
        steps: how long each check runs. At least one trial must end in that time.
        modes: the autoreset modes to check.
        params: given to `gymnasium.make_vec` and `gymnasium.make` along with an id, or to the factory.

    Raises:
        AssertionError: what is wrong, and what would be right.
    """
    if isinstance(id_or_factory, str):
        single = single or partial(gym.make, id_or_factory, **params)
        factory = partial(gym.make_vec, id_or_factory, **params)
    else:
        factory = partial(id_or_factory, **params)
    for mode in modes:
        for check in VECTOR_CHECKS:
            check(VectorSubject(factory, single, num_envs, steps, mode))
