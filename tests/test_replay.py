"""Recorded runs in pictures: any step looks as it did, in the window and in an animation; and what a person plays is a run."""

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

import metarl_envs
from metarl_envs import boxes
from metarl_envs.boxes.study.replay import lines, steps
from metarl_envs.learners import QLearning
from metarl_envs.play import Game
from metarl_envs.play.recording import Recording, write_animation
from metarl_envs.play.replay import Replay
from metarl_envs.play.strip import LEFT, STRIP
from metarl_envs.players import load
from metarl_envs.players.lifetimes import live

pytestmark = pytest.mark.plain
ROOM = {"size": 3, "horizon": 6, "once": True}


@pytest.fixture(scope="module")
def lives():
    tasks = metarl_envs.tasks("DarkRoom", **ROOM)
    return live(QLearning(), tasks.variant, tasks.rows(3), np.arange(3) + 5, episodes=40)[0]


@pytest.fixture(scope="module")
def box():
    small = {"agents": 2, "horizon": 25, "lineages": 1, "levels": 2, "width": 2, "bases": 4, "recipes": 1, "crossover": 0}
    return boxes.run("InventionBox", {"all": "greedy"}, boxes=2, seed=3, **small)


def played_anew(run, row):
    """Pictures and rewards of the environment that anybody can make, on the same task and seed."""
    env = gym.make(
        "metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=40, render_mode="rgb_array", reveal=True, **ROOM
    ).unwrapped
    env.reset(seed=int(run.seeds[row]), options={"task": run.tasks[row]})
    pictures, rewards = [env.render()], []
    for action in run.actions[row, : run.steps[row]]:
        rewards.append(env.step(int(action))[1])
        pictures.append(env.render())
    return pictures, rewards


def test_any_step_looks_as_it_did_in_any_order(lives):
    row = int(np.argmin(lives.steps))  # shorter than others
    recording, (pictures, rewards) = Recording(lives, row), played_anew(lives, row)
    assert len(recording) == lives.steps[row] < lives.actions.shape[1]
    assert recording.rewards.tolist() == rewards
    order = np.random.default_rng(0).integers(len(recording) + 1, size=30)
    for t in [0, len(recording), 1, *order.tolist()]:
        assert np.array_equal(recording.picture(t), pictures[t])
    assert not np.array_equal(Recording(lives, row, reveal=False).picture(0), pictures[0])


def test_rows_that_there_are_not_are_refused(lives):
    with pytest.raises(ValueError, match="row=3 is not in this run: it has rows 0 to 2"):
        Recording(lives, 3)
    with pytest.raises(TypeError, match="row"):
        Recording(lives, 1.5)


def test_keys_and_mouse_go_where_they_say(lives):
    game = Replay(Recording(lives, 1))
    paid = (np.flatnonzero(game.recording.rewards) + 1).tolist()
    last = len(game.recording)
    for key, step in [("right", 1), ("left", 0), ("left", 0), ("end", last), ("right", last), ("home", 0), ("up", paid[0])]:
        assert game.press(key)
        game.release(key)
        assert game.step == step
    game.press("up")
    assert game.step == paid[1]
    game.press("down")
    assert game.step == paid[0]
    game.press("down")
    assert game.step == 0
    game.point(LEFT + (720 - 2 * LEFT) / 2, 480 + 20)
    assert game.press("mouse")
    assert game.step == round(last / 2)
    game.point(10_000, 0)
    assert game.step == last
    game.release("mouse")
    game.point(0, 500)
    assert game.step == last
    game.point(100, 100)
    assert not game.press("mouse")  # in the picture
    assert not game.press("x")


def test_it_moves_on_at_its_speed_and_stops_at_the_end(lives):
    game = Replay(Recording(lives, 0))
    game.press("space")
    for _ in range(60):
        game.tick(1 / 60)
    assert game.step in (9, 10)
    game.press("-")
    before = game.step
    for _ in range(120):
        game.tick(1 / 60)
    assert game.step - before in (9, 10, 11)
    game.tick(1e6)
    assert (game.step, game.moving) == (len(game.recording), False)
    game.press("space")  # from the beginning
    assert (game.step, game.moving) == (0, True)
    game.press("space")
    assert not game.moving
    assert not game.tick(5.0)
    game.press("right")  # held
    for _ in range(60):
        game.tick(1 / 60)
    assert 8 <= game.step <= 14
    game.look_away()
    assert not game.tick(5.0)


def test_the_screen_says_what_happened(box):
    told = [happened for _, happened in steps(box, 1)]
    assert told[0] == []
    printed = [line for line in lines(box, 1) if line.startswith("step")]
    assert [event for happened in told for event in happened] == [line[12:] for line in printed]
    game, silent = Replay(Recording(box, 1), told.__getitem__), Replay(Recording(box, 1), lambda t: ())
    shown = int(np.flatnonzero([bool(happened) for happened in told])[0])
    game.step = silent.step = shown
    assert game.frame().shape == (480 + STRIP, 720, 3)
    assert (game.frame()[:480] == silent.frame()[:480]).all()
    assert (game.frame()[480:] != silent.frame()[480:]).any()
    game.tell("screenshot: x.png")
    assert game.tick(10.0)


def test_an_animation_shows_every_step_asked_for(lives, tmp_path):
    recording, told = Recording(lives, 1), []
    path = write_animation(recording, tmp_path / "life.gif", every=50, progress=lambda *how_far: told.append(how_far))
    shown = [*range(0, len(recording), 50), len(recording)]
    assert told == [("pictures", k + 1, len(shown)) for k in range(len(shown))]
    with Image.open(path) as gif:
        assert (gif.n_frames, gif.info["duration"]) == (len(shown), 100)
        for k, t in enumerate(shown):
            gif.seek(k)
            difference = np.asarray(gif.convert("RGB")).astype(int) - recording.picture(t)
            assert np.abs(difference).mean() < 6
            assert (np.abs(difference) > 100).mean() < 0.002
    with pytest.raises(ValueError, match="every=0"):
        write_animation(recording, tmp_path / "other.gif", every=0)
    with pytest.raises(ValueError, match="per_second=60 must be at most 50"):
        write_animation(recording, tmp_path / "other.gif", per_second=60)
    assert [file.name for file in tmp_path.iterdir()] == ["life.gif"]


def test_what_a_person_plays_is_a_run(tmp_path):
    game = Game("DarkRoom", seed=11, episodes_per_trial=2, split="test", **ROOM)
    assert not game.was_played
    with pytest.raises(ValueError, match="no step was made"):
        game.run()
    earned = []
    for action in (0, 3, 0, 3, 0, 3, 0, 3, 0, 3, 0, 3):
        game.act(action)
    earned.append(game.total)
    half = game.run()  # may be asked for at any time
    game.next_trial()
    for action in (1, 2, 1):
        game.act(action)
    earned.append(game.total)
    game.restart()
    game.act(4)
    earned.append(game.total)
    run = game.run()
    assert run.seeds.tolist() == [11, 12, 12]
    assert (run.split, run.episodes, run.seats) == ("test", 2, ("person",))
    assert run.returns.tolist() == earned
    assert run.steps.tolist()[1:] == [3, 1]
    assert (half.returns[0], half.endings[0]) == (run.returns[0], run.endings[0])
    env = gym.make("metarl_envs:MetaRL/DarkRoom-v0", episodes_per_trial=2, split="test", ground_truth=True, **ROOM)
    for seed, task in zip(run.seeds, run.tasks, strict=True):  # what any agent meets at that seed
        assert np.array_equal(env.reset(seed=int(seed))[1]["metarl"]["task"]["goal"], task["goal"])
    assert run[:1].scores().sum() == earned[0]
    run.save(tmp_path / "me")
    assert load(tmp_path / "me").fingerprint == run.fingerprint
