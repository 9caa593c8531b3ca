"""What was given out stays as it was: final observations of many rows share their zeros, which nothing is written into."""

import copy

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from metarl_envs.engine.envs import vector
from metarl_envs.engine.envs.vector import FamilyVectorEnv
from metarl_envs.families.grids.dark_room import DarkRoom
from metarl_envs.task_sets import TaskSet
from tests.named_room import NamedRoom

pytestmark = pytest.mark.plain


def told(family, mode, dense, episodes, steps=7):
    """All that three rows are told, as it was told and as it is in the end."""
    tasks = TaskSet.of_family(family, size=3, horizon=3, once=True)
    how = {"autoreset_mode": mode, "dense_final_obs": dense, "episodes_per_trial": episodes}
    envs = FamilyVectorEnv(tasks, num_envs=3, **how)
    infos = [envs.reset(seed=5)[1]]
    then = [copy.deepcopy(infos[0])]
    for t in range(steps):
        _, _, terminated, truncated, info = envs.step((np.arange(3) + t) % 5)
        infos.append(info)
        then.append(copy.deepcopy(info))
        if mode is AutoresetMode.DISABLED and (terminated | truncated).any():
            infos.append(envs.reset(options={"reset_mask": terminated | truncated})[1])
            then.append(copy.deepcopy(infos[-1]))
    return _as_lists(infos), _as_lists(then)


def _as_lists(told):
    """With lists for arrays of objects, which NumPy cannot compare."""
    if isinstance(told, dict):
        return {name: _as_lists(value) for name, value in told.items()}
    if isinstance(told, list) or (isinstance(told, np.ndarray) and told.dtype.hasobject):
        return [_as_lists(one) for one in told]
    return told


@pytest.mark.parametrize("family", [DarkRoom, NamedRoom])
@pytest.mark.parametrize("mode", AutoresetMode)
@pytest.mark.parametrize("episodes", [1, 2])
@pytest.mark.parametrize("dense", [False, True])
def test_what_was_told_stays_as_it_was(monkeypatch, family, mode, episodes, dense):
    small, _ = told(family, mode, dense, episodes)
    monkeypatch.setattr(vector, "_BIG", 1)  # stands for many rows
    big, then = told(family, mode, dense, episodes)
    np.testing.assert_equal(big, then)
    np.testing.assert_equal(big, small)
    ends = [info["trial"]["inner_terminated"] | info["trial"]["inner_truncated"] for info in big]
    assert np.any(ends) or (mode is AutoresetMode.SAME_STEP and episodes == 1)


def test_the_shared_zeros_cannot_be_written_into(monkeypatch):
    monkeypatch.setattr(vector, "_BIG", 1)
    infos, _ = told(DarkRoom, AutoresetMode.NEXT_STEP, False, 1, steps=1)
    with pytest.raises(ValueError, match="read-only"):
        infos[1]["trial"]["final_obs"][0] = 1
    infos[0]["trial"]["final_obs"][0] = 1  # of a reset: its own
