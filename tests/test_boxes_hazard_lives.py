"""Hazards and lives in one box: death at no health, the health of the newborn, and the ledger of harm across births."""

import itertools

import numpy as np
import pytest

from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.study.harm import Prices, changes
from metarl_envs.boxes.study.runs import run
from metarl_envs.boxes.study.ruthlessness import ruthlessness
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.hazard import FORCED, HAZARD
from metarl_envs.boxes.world.lives import LIVES
from metarl_envs.boxes.world.mechanisms import box_parameters, verbs_of
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY
from tests.test_boxes_harm import SMALL, welfare

pytestmark = pytest.mark.plain
PRICES = Prices(0.7, 0.25)


class MortalBox(Box):
    """A box of both."""

    params = box_parameters(TOPOLOGY, DAYS, NOTES, LIVES, HAZARD).with_defaults(
        **SMALL, topology="isolated", health=10.0, p_clean=0.7, p_toxic=0.9, harm=4.5, lifespan=9, channel="board", horizon=24
    )


def test_the_newborn_is_healthy_though_the_dead_was_out():
    """Who has no health left is out, and dies when its time has come; who is born in its place can act at once."""
    played = run(MortalBox, {"all": "random"}, boxes=2, seed=0)
    states, successors = [np.array(state) for state in played.replay()], 0
    wait = verbs_of(played.variant.p).wait
    for t, (before, after) in enumerate(itertools.pairwise(states)):
        out = before["out_until"] > t
        assert (played.actions[:, t][out] == wait).all()
        born = after["born"] == t + 1
        assert (after["health"][born] == 10.0).all()
        assert (after["out_until"][born] == 0).all()
        assert (after["forgot"][born] == 1).all()
        assert not after["paid"][born].any()
        assert (after["life"][born] == before["life"][born] + 1).all()
        assert (after["out_until"][out & ~born] > t + 1).all()  # nothing else brings anybody back
        assert ((after["health"] > 0) | (after["out_until"] > t + 1)).all()
        successors += (out & born).sum()
    assert successors > 0


def stepped(env, kept, actions):
    env.set_state(kept)
    env.step({f"agent_{i}": int(action) for i, action in enumerate(actions)})
    return welfare(env)


@pytest.mark.slow
@pytest.mark.parametrize("channel", ["board", "both"])
def test_the_ledger_is_what_two_copies_say_across_births(channel):
    """Force costs nobody anything who is born in the same step: it is in full health all the same. Teachers do good."""
    played = run(MortalBox, {0: "random", "others": "toxic"}, boxes=1, seed=1, channel=channel, apprenticeship=9)
    env, wait = ParallelBox(MortalBox, channel=channel, apprenticeship=9), verbs_of(played.variant.p).wait
    env.reset(seed=1, options={"task": played.tasks[0]})
    met = 0
    for actions, change in zip(played.actions[0].astype(int), changes(played, PRICES), strict=True):
        kept = env.get_state()
        was = stepped(env, kept, actions)
        met += ((env.world["born"] == env.world["t"]) & (env.world["deed"] == FORCED).any()).any()
        for i in range(3):
            effects = was - stepped(env, kept, [wait if k == i else action for k, action in enumerate(actions)])
            np.testing.assert_allclose(change.effects[0, i] + change.own[0, i] * (np.arange(3) == i), effects, atol=1e-9)
        stepped(env, kept, actions)
    assert met
    assert ruthlessness(played, PRICES).at_stake.shape == (1, 3)
