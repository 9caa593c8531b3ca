"""Runs of boxes: whoever sits in the seats, they can be lived again exactly, and whoever forgets comes back with nothing."""

import itertools
import json
import pickle
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from metarl_envs import boxes
from metarl_envs.boxes.envs.seats import AmnesiaSeat
from metarl_envs.boxes.players.scripted import Greedy, NeverRepeat
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.study import normaliser
from metarl_envs.boxes.study.replay import lines
from metarl_envs.boxes.world.core import ILLUSORY
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.players import PlayerError, Seat
from metarl_envs.players.run_files import ARRAYS

pytestmark = pytest.mark.plain

#: One small box that everything here is tried in: three days of eight steps, notes, companions.
SMALL = {
    "agents": 3,
    "horizon": 24,
    "day": 8,
    "notes": 3,
    "free_reading": True,
    "lineages": 2,
    "levels": 4,
    "width": 2,
    "bases": 4,
    "recipes": 2,
    "crossover": 2,
    "topology": "full",
    "dead_ends": 0.0,
}


class Uniform:
    """Any action that would do something."""

    def __init__(self, *, seat, action_space, observation_space, seed):
        self.rng, self.spaces, self.seat, self.seed = np.random.default_rng(seed), (action_space, observation_space), seat, seed

    def act(self, moment):
        return self.rng.choice(np.flatnonzero(moment.observation["action_mask"]))


def small(seats, **arguments):
    return boxes.run("AmnesiaBox", seats, **{"boxes": 4, **SMALL, **arguments})


@pytest.fixture(scope="module")
def mixed():
    return small({0: Seat(Uniform), "others": "notes_fifo"}, seed=5)


# ------------------------------------------------------------------------------------------------- seats
def test_agents_are_mixed_by_seat():
    run = small({0: Seat(Uniform), -1: NeverRepeat(draws=2), "others": "greedy"})
    assert run.seats == ("Uniform", "greedy", "NeverRepeat(draws=2)")
    assert run.actions.shape == (4, 24, 3)
    sliced = small({range(2): "greedy", 2: NeverRepeat(draws=2)})
    assert sliced.seats == ("greedy", "greedy", "NeverRepeat(draws=2)")
    assert np.array_equal(run.seeds, np.arange(4))


def test_box_i_is_the_box_of_seed_plus_i():
    run, later = small({"all": "greedy"}, seed=3), small({"all": "greedy"}, seed=5, boxes=2)
    assert np.array_equal(run.actions[2:], later.actions)
    assert np.array_equal(run.tasks[2:]["recipe"], later.tasks["recipe"])


def test_a_seat_acts_the_same_whoever_sits_beside_it_where_nobody_is_seen():
    alone = small({0: "notes_fifo", "others": "random"}, topology="isolated")
    beside = small({0: "notes_fifo", "others": Seat(Uniform)}, topology="isolated")
    assert np.array_equal(alone.actions[:, :, 0], beside.actions[:, :, 0])
    assert not np.array_equal(alone.actions, beside.actions)


@pytest.mark.parametrize(
    ("seats", "error", "why"),
    [
        ({0: "greedy"}, ValueError, r"leaves \[1, 2\] empty"),
        ({"all": "greedy", 1: "oracle"}, ValueError, "seat 1 twice"),
        ({5: "greedy", "others": "greedy"}, ValueError, "seat 5; there are 3"),
        ({"everyone": "greedy"}, ValueError, "'all' or 'others'"),
        ({"all": "greddy"}, ValueError, "player 'greddy' does not suit AmnesiaBox; these do: random"),
        ({"all": Greedy}, TypeError, r"write Greedy\(\)"),
        ({"all": 7}, TypeError, "a factory that makes players"),
        ("greedy", TypeError, "must map seats"),
    ],
)
def test_seats_that_cannot_be_filled_are_refused(seats, error, why):
    with pytest.raises(error, match=why):
        small(seats)


@pytest.mark.parametrize("action", [-1, 10_000, 0.5, "wait", None])
def test_an_action_outside_of_the_box_is_refused(action):
    class Wrong(Uniform):
        def act(self, moment):
            return action

    with pytest.raises(PlayerError, match=r"seat 1 of row 0 failed at step 0 .*the player chose") as caught:
        small({1: Seat(Wrong), "others": "greedy"})
    assert isinstance(caught.value.__cause__, ValueError)


def test_an_unknown_box_is_refused():
    with pytest.raises(ValueError, match="there are: InventionBox, AmnesiaBox"):
        boxes.run("SandBox", {"all": "greedy"})


def test_a_seat_of_a_box_is_no_box():
    with pytest.raises(ValueError, match="one seat of a box: give the whole box, AmnesiaBox"):
        boxes.run(AmnesiaSeat, {0: "greedy"})


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), 3])
def test_integers_of_any_kind_are_seeds_and_counts(seed):
    run = small({"all": "greedy"}, seed=seed, boxes=np.int32(2), horizon=np.int64(8))
    assert run.seeds.tolist() == [3, 4]
    assert json.loads(json.dumps(run.params))["horizon"] == 8
    row = normaliser.compute("AmnesiaBox", seed=seed, boxes=np.int64(2), **{**SMALL, "horizon": np.int64(8)})
    assert json.loads(json.dumps(row))["params"]["horizon"] == 8


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, True, "1", None])
def test_what_is_no_seed_is_refused(seed):
    with pytest.raises((TypeError, ValueError), match=f"seed={seed!r}"):
        small({"all": "greedy"}, seed=seed)


def test_a_run_in_a_shift_is_lived_scored_and_loaded_as_any_other(tmp_path, monkeypatch):
    monkeypatch.setattr(AmnesiaBox, "shifts", {"deceived": {"illusions": 1.0}})
    run = small({"all": "greedy"}, split="deceived")
    assert (run.params["illusions"], run.split) == (1.0, "deceived")
    assert any((states["held"] == ILLUSORY).any() for states in run.replay())
    with pytest.raises(ValueError, match="split='deceived', which sets it itself"):
        small({"all": "greedy"}, split="deceived", illusions=0.5)
    run.save(tmp_path / "run")
    assert boxes.load(tmp_path / "run").split == "deceived"
    replace(run, variant=AmnesiaBox.with_params(**{**run.params, "illusions": 0.5})).save(tmp_path / "other")
    with pytest.raises(ValueError, match=r"other.json .*split='deceived' of AmnesiaBox has {'illusions': 1.0}"):
        boxes.load(tmp_path / "other")
    asked = []
    monkeypatch.setattr(normaliser, "run", lambda box, seats, **given: asked.append(given) or run)
    boxes.score(run)
    assert all(given["split"] == "deceived" and "illusions" not in given for given in asked)


def test_a_run_is_shown_in_one_line(mixed):
    assert repr(mixed) == "Run(AmnesiaBox: 4 rows of up to 24 steps, of Uniform, 2 x notes_fifo, split=None)"
    with pytest.raises(TypeError, match=r"run\[3:4\], which is a run of row 3 alone"):
        mixed[3]


def test_the_module_shows_its_public_names():
    assert dir(boxes) == sorted([*boxes.__all__, "amnesia_v0", "generations_v0", "hazard_v0", "invention_v0", "sealed_v0"])
    assert boxes.invention_v0.parallel_env
    assert all(getattr(boxes, name) is not None for name in dir(boxes))


# ------------------------------------------------------------------------------------------------- forgetting
def test_what_a_policy_hides_in_itself_is_gone_after_a_memory_reset():
    found = []

    class Canary(Uniform):
        """Hides a secret wherever it can reach from itself, and looks for one."""

        def __init__(self, **given):
            super().__init__(**given)
            kept = []
            self.look = lambda: list(kept)
            self.hide = lambda secret: kept.append(secret)

        def act(self, moment):
            space = self.spaces[0]
            hidden = [*self.look(), *vars(self).get("secret", []), *vars(space).get("secret", [])]
            hidden += [*vars(self.spaces[1]).get("secret", [])]
            hidden += [*moment.observation.get("secret", [])]
            found.append((moment.memory_reset, len(hidden), float(self.spaces[0].np_random.random())))
            self.hide("here")
            self.secret = space.secret = self.spaces[1].secret = ["here"]
            moment.observation["secret"] = ["here"]
            moment.observation["observation"][:] = 0.125  # nor can it be left in what it is shown
            return super().act(moment)

    done = small({0: Seat(Canary), "others": "greedy"}, boxes=1)
    assert [reset for reset, _, _ in found] == ([True] + [False] * 7) * 3
    assert [hidden for reset, hidden, _ in found if reset] == [0, 0, 0]
    assert all(hidden == 4 for reset, hidden, _ in found[1:2] if not reset)  # it does remember while it lives
    assert len(list(done.replay())) == 25


def test_a_policy_is_given_nothing_but_what_it_sees():
    seen = []

    class Nosy(Uniform):
        def act(self, moment):
            seen.append((moment, self.spaces))
            return super().act(moment)

    small({1: Seat(Nosy), "others": "greedy"}, boxes=2)
    for moment, (actions, observations) in seen:
        observation = moment.observation
        assert observations.contains(observation)
        assert moment.memory_reset == (moment.previous_action == -1)
        assert len(moment.observation["action_mask"]) == actions.n
        assert observation["observation"].base is None  # no window into the box


def test_every_life_has_a_seed_of_its_own():
    built = []

    def factory(**given):
        built.append((given["seat"], given["seed"]))
        return Uniform(**given)

    small({"all": Seat(factory)}, boxes=2)
    assert len(built) == 2 * 3 * 3
    assert len(set(built)) == len({seed for _, seed in built}) == len(built)


def fresh():
    return Uniform(seat=0, action_space=None, observation_space=None, seed=0)


def returning(*policies):
    """A factory that returns these by turns."""
    turns = itertools.cycle(policies)
    return Seat(lambda **given: next(turns))


class Slim:
    """A policy that no weak reference can be made of."""

    __slots__ = ()

    def act(self, moment):
        return int(np.flatnonzero(moment.observation["action_mask"])[0])


def test_a_factory_that_returns_an_object_again_is_refused():
    """At the first dawn, at the second where two come by turns, and at once where another seat's factory returned it."""
    shared = fresh()
    for factories, box, seat, step in (
        ({0: returning(fresh())}, 0, 0, 8),
        ({0: returning(fresh(), fresh())}, 0, 0, 16),
        ({0: returning(Slim(), Slim())}, 0, 0, 16),
        ({0: returning(shared), 1: returning(shared)}, 0, 1, 0),
    ):
        with pytest.raises(PlayerError, match="returned an object again") as caught:
            small({**factories, "others": "greedy"}, boxes=1)
        assert (caught.value.row, caught.value.seat, caught.value.step) == (box, seat, step)
    small({"all": Seat(lambda **given: Slim())}, boxes=1)


# ------------------------------------------------------------------------------------------------- failing
class Fails(Uniform):
    """Raises an error in its 4th step of the second day, in the third box."""

    lives = 0

    def __init__(self, **given):
        super().__init__(**given)
        Fails.lives += 1
        self.life, self.steps = Fails.lives, 0

    def act(self, moment):
        self.steps += 1
        if self.life == 4 + 3 and self.steps == 4:
            raise ConnectionError("the server is gone")
        return super().act(moment)


def test_a_policy_that_raises_loses_nothing_that_was_played(tmp_path):
    Fails.lives = 0
    with pytest.raises(PlayerError, match=r"seat 1 of row 2 failed at step 11 .*the server is gone") as caught:
        small({1: Seat(Fails), "others": "notes_fifo"}, seed=5)
    error = pickle.loads(pickle.dumps(caught.value))
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert (error.row, error.seat, error.step) == (2, 1, 11)
    played, whole = error.run, small({1: Seat(Uniform), "others": "notes_fifo"}, seed=5)
    assert np.array_equal(played.actions, whole.actions[:, :11])
    assert len(list(played.replay())) == 12
    played.save(tmp_path / "run")
    again = boxes.load(tmp_path / "run")
    assert np.array_equal(again.actions, played.actions)
    assert boxes.measure(again)[3]["return"] == sum(s["reward"][3].sum() for s in played.replay())


def test_a_policy_that_fails_before_the_first_step_leaves_a_run_of_none(tmp_path):
    with pytest.raises(PlayerError, match=r"seat 0 of row 0 failed at step 0 .*unexpected keyword") as caught:
        small({0: Seat(lambda seat: None), "others": "greedy"})
    caught.value.run.save(tmp_path / "run")
    assert boxes.load(tmp_path / "run").actions.shape == (4, 0, 3)


# ------------------------------------------------------------------------------------------------- living again
def test_a_run_is_lived_again_exactly(mixed):
    again = small({0: Seat(Uniform), "others": "notes_fifo"}, seed=5)
    assert np.array_equal(mixed.actions, again.actions)
    assert np.array_equal(mixed.endings, again.endings)
    states = [state.copy() for state in mixed.replay()]
    assert [int(state["t"][0]) for state in states] == list(range(25))
    one = [state.copy() for state in mixed[2:3].replay()]
    assert all(a["held"][2].tobytes() == b["held"][0].tobytes() for a, b in zip(states, one, strict=True))


def test_a_run_of_other_rules_is_refused(mixed):
    changed = mixed[:]
    changed.actions[0, 3] = verbs_of(mixed.variant.p).wait
    changed.endings[0] ^= np.uint64(1)
    with pytest.raises(ValueError, match="the rules have changed"):
        list(changed.replay())


def test_saved_and_loaded_it_is_the_same_run(tmp_path):
    run = small({0: Seat(Uniform), "others": "notes_fifo"})
    npz, about = run.save(tmp_path / "run")
    assert sorted(tmp_path.iterdir()) == [about, npz]
    assert run.save(tmp_path / "new" / "folder" / "run")[0].exists()
    for path in (npz, about, tmp_path / "run"):
        loaded = boxes.load(path)
        assert (loaded.family, loaded.params, loaded.split, loaded.seats) == (run.family, run.params, run.split, run.seats)
        assert np.array_equal(loaded.actions, run.actions)
    assert len(list(loaded.replay())) == 25
    assert boxes.measure(loaded)[1]["inventions"] == boxes.measure(run)[1]["inventions"]


@pytest.fixture
def saved(tmp_path):
    return small({"all": "greedy"}, boxes=2).save(tmp_path / "run")


def rewrite(about, **changes):
    header = {**json.loads(about.read_text()), **changes}
    about.write_text(json.dumps({name: value for name, value in header.items() if value != "gone"}))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda npz, about: npz.write_bytes(npz.read_bytes()[: npz.stat().st_size // 2]), "cut short"),
        (lambda npz, about: npz.write_bytes(b""), "cut short"),
        (lambda npz, about: npz.write_bytes(b"hello"), "is no run"),
        (lambda npz, about: np.savez(npz, actions=np.zeros(3)), "is no run"),
        (lambda npz, about: np.savez(npz, **dict.fromkeys(ARRAYS, np.zeros(3))), "is no run"),
        (lambda npz, about: about.write_text(about.read_text()[:40]), "cut short"),
        (lambda npz, about: about.write_text("[]"), "no run that this version reads"),
        (lambda npz, about: rewrite(about, format="metarl_envs run 1"), "an older version"),
        (lambda npz, about: rewrite(about, fingerprint="gone"), "'fingerprint' is missing"),
        (lambda npz, about: rewrite(about, split="train"), "do not belong together"),
        (lambda npz, about: rewrite(about, family="os:path"), "is not a family"),
        (lambda npz, about: rewrite(about, family="nowhere:Box"), "import nowhere first"),
        (lambda npz, about: rewrite(about, params={"agents": -1}), "agents"),
        (lambda npz, about: rewrite(about, params={"value_bias": 10**400}), "names a family"),
        (lambda npz, about: rewrite(about, split="tset"), "split='tset' is not a split of"),
        (lambda npz, about: rewrite(about, seats=["greedy"]), "1 seats of 3"),
        (lambda npz, about: rewrite(about, seats=[1, 2, 3]), "its seats hold 1, which is no text"),
        (lambda npz, about: about.write_text("[" * 100_000), "is no run"),
        (lambda npz, about: rewrite(about, params={"sand": 1}), "sand"),
        (
            lambda npz, about: small({"all": "greedy"}, boxes=2, seed=9).save(npz.with_name("b"))[0].replace(npz),
            "do not belong together",
        ),
        (
            lambda npz, about: small({"all": "greedy"}, boxes=2, horizon=32).save(npz.with_name("b"))[0].replace(npz),
            "actions is",
        ),
    ],
)
def test_files_that_are_no_run_are_refused_with_what_to_do(saved, spoil, why):
    spoil(*saved)
    with pytest.raises(ValueError, match=why):
        boxes.load(saved[0])


def test_a_missing_file_is_named(saved):
    with pytest.raises(FileNotFoundError, match=r"there is no run at .*other: neither other\.json nor other\.npz is there"):
        boxes.load(saved[0].with_name("other"))
    saved[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"run\.npz is missing"):
        boxes.load(saved[1])


def test_objects_in_a_file_are_not_unpickled(saved):
    bad = np.empty(2, object)
    bad[:] = [print, print]
    np.savez(saved[0], tasks=bad, seeds=bad, actions=bad, endings=bad)
    with pytest.raises(ValueError, match="is no run"):
        boxes.load(saved[0])


# ------------------------------------------------------------------------------------------------- told as text
def test_a_replay_tells_who_made_what_and_when(mixed):
    told = list(lines(mixed, 1, failures=True))
    assert told[0].startswith("AmnesiaBox(")
    assert told[0].endswith("box 1, seed 6")
    assert told[1] == "seats: 0 Uniform, 1 notes_fifo, 2 notes_fifo"
    made = 0
    for before, after in zip(*(list(s.copy() for s in mixed[1:2].replay())[k:] for k in (0, 1)), strict=False):
        made += (after["made"] >= 0).sum()
        assert before["t"] < after["t"]
    assert made == sum(" makes " in line and "makes nothing" not in line and "again" not in line for line in told)
    assert sum("is over" in line for line in told) == 3
    with pytest.raises(ValueError, match="boxes 0 to 3"):
        list(lines(mixed, 4))


def test_the_command_prints_a_replay(saved):
    def command(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "metarl_envs.cli", "replay", *arguments], capture_output=True, text=True, timeout=300
        )

    done = command(str(saved[0]), "--box", "1")
    assert done.returncode == 0, done.stderr
    assert "returns: " in done.stdout
    saved[0].write_bytes(b"")
    done = command(str(saved[0]))
    assert done.returncode == 2
    assert "cut short" in done.stderr
    assert "Traceback" not in done.stderr
