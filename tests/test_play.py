"""Playing: keys, mouse and seconds into the game, pictures out, and a real window on a dummy screen."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box

from metarl_envs.boxes.envs.seat import Seat
from metarl_envs.engine import canvas
from metarl_envs.engine.family import load_family
from metarl_envs.evaluation import references
from metarl_envs.evaluation.references import TrialScale
from metarl_envs.ids import TABLE, family_of
from metarl_envs.play import Controls, Game
from metarl_envs.play.strip import SPEEDS, STRIP, fitted_lines
from metarl_envs.play.window import FRAMES_A_SECOND, first_size, fit, play

IDS = [row.id for row in TABLE]
FRAME = 1 / 60


def a_key(game):
    return next(iter(game.controls.keys or game.controls.axes))


def play_out(game):
    """Hold one key until the trial is over and the scores are worked out."""
    game.press(a_key(game))
    for _ in range(3 * game.env.variant.horizon * game.env.episodes_per_trial + 10):
        game.tick(1.0)  # a step, or the rest between episodes
        if game.scores:
            return
    raise AssertionError("the trial has no end")


def state(game):
    return game.env.get_state()["worlds"]["state"][0]


def steps(game):
    return int(game.env.get_state()["worlds"]["t"][0])


def wait(game, seconds):
    for _ in range(round(seconds / FRAME)):
        game.tick(FRAME)


def tap(game, key):
    game.press(key)
    game.release(key)


@pytest.fixture(autouse=True)
def scores_of_boxes(request, monkeypatch):
    """What a box pays is compiled for many seconds: only slow tests work it out, the others take numbers in its place."""
    if request.node.get_closest_marker("slow"):
        return
    work_out = references.lifetime_returns

    def stand_in(tasks, variant, policy, seeds, episodes):
        if not issubclass(variant.family, Seat):
            return work_out(tasks, variant, policy, seeds, episodes=episodes)
        return np.full((len(seeds), episodes), 2.0 if policy is variant.family.references["oracle"] else 1.0)

    monkeypatch.setattr(references, "lifetime_returns", stand_in)


@pytest.mark.slow
@pytest.mark.parametrize("id", [row.id for row in TABLE if row.kind == "box"])
def test_in_boxes_the_oracle_earns_more_than_random_play(id):
    game = Game(id, seed=1, horizon=60)
    play_out(game)
    assert game.scores.oracle > game.scores.random > 0


# ------------------------------------------------------------------------------------------- every family
@pytest.mark.parametrize("id", IDS)
def test_a_trial_by_keys_alone_reveals_the_task_and_the_scores_at_its_end(id):
    game = Game(id, seed=1)
    hidden = game.frame()
    assert hidden.shape == (480 + STRIP, 720, 3)
    assert hidden.dtype == np.uint8
    assert game.controls.legend()
    play_out(game)
    assert game.env.reveal
    assert np.isfinite(game.scores).all()
    assert game.scores.oracle >= game.scores.random
    assert "oracle" in game.verdict()
    assert game.frame().shape == hidden.shape
    total, before = game.total, game.env.get_state()
    game.act(game.env.action_space.sample())
    wait(game, 1)
    assert game.total == total, "nothing moves after the end"
    assert (game.env.get_state()["worlds"] == before["worlds"]).all()


@pytest.mark.parametrize("id", IDS)
def test_the_same_trial_again_repeats_and_the_next_one_does_not(id):
    game = Game(id, seed=2)
    first_task = game.env.get_state()["task_rows"].copy()
    first = game.frame()
    play_out(game)
    total = game.total
    game.press("r")
    assert (game.frame() == first).all()
    play_out(game)
    assert game.total == total
    tasks = set()
    for _ in range(6):
        game.press("n")
        tasks.add(game.env.get_state()["task_rows"].tobytes())
    assert len(tasks | {first_task.tobytes()}) > 1


@pytest.mark.parametrize("id", IDS)
def test_what_to_do_is_said_and_fits(id):
    game = Game(id, seed=1, episodes_per_trial=2)
    lines = fitted_lines(game.instructions, 14, 2)
    assert "..." not in lines[-1]
    assert len(game.instructions) > 60
    assert "`" not in game.instructions
    play_out(game)
    for picture in (game.frame(), Game(id, seed=1).frame()):
        assert (picture[480 + 40 :, -20:] == canvas.BACKGROUND).all(), "keys or texts run out of the window"
        assert (picture[-4:] == canvas.BACKGROUND).all()


@pytest.mark.parametrize("id", IDS)
def test_whether_time_goes_by_follows_from_what_the_family_declares(id):
    game = Game(id, seed=0)
    family = load_family(family_of(id))
    wait(game, 1)
    assert steps(game) == 0, "nothing moves before the first key"
    tap(game, a_key(game))
    wait(game, 1)
    assert (steps(game) > 1) == family.realtime


def test_the_hidden_task_is_in_no_picture_before_the_end():
    frames = []
    for goal in ((0, 0), (8, 8)):
        game = Game("MetaRL/DarkRoom-v0", seed=0)
        game.env.reset(options={"task": {"goal": goal}})
        frames.append(game.frame())
    assert (frames[0] == frames[1]).all()


@pytest.mark.parametrize("name", ["DarkRoom", "DarkRoom-v0", "MetaRL/DarkRoom-v0", "metarl_envs:MetaRL/DarkRoom-v0"])
def test_an_id_may_be_short_as_elsewhere(name):
    game = Game(name, seed=0)
    assert (game.env.variant.name, game.title) == ("DarkRoom", "metarl_envs: DarkRoom")


def test_an_unknown_id_is_a_clear_error():
    with pytest.raises(ValueError, match="Nowhere"):
        Game("MetaRL/Nowhere-v0")


# ------------------------------------------------------------------------------------------- keys, one step a press
def test_pause_stops_keys():
    game = Game("MetaRL/DarkRoom-v0", seed=0)
    plain = game.frame()
    game.press("p")
    assert not game.press("left")
    assert (game.frame() != plain).any(), "the screen says so"
    assert steps(game) == 0
    game.press("p")
    game.press("left")
    assert steps(game) == 1


@pytest.mark.parametrize("key", ["n", "r"])
def test_a_new_start_is_not_paused(key):
    game = Game("MetaRL/DarkRoom-v0", seed=0)
    game.press("p")
    game.press(key)
    assert game.press("left")
    assert steps(game) == 1


def test_pausing_after_the_end_does_not_pause_the_next_trial():
    game = Game("MetaRL/BernoulliBandit-v0", seed=0)
    play_out(game)
    assert not game.press("p")
    game.press("n")
    assert not game.paused


def test_unknown_keys_do_nothing():
    game = Game("MetaRL/DarkRoom-v0", seed=0)
    assert not game.press("f5")
    assert not game.press("+"), "there is no speed where each press is a step"
    game.release("f5")


def test_a_held_key_repeats_after_a_moment_and_a_tap_does_not():
    game = Game("MetaRL/GaussianBandit-v0", seed=0)
    tap(game, "1")
    wait(game, 2)
    assert steps(game) == 1
    game.press("1")
    wait(game, 0.3)
    assert steps(game) == 2
    wait(game, 1.15)
    assert 18 <= steps(game) <= 24
    game.release("1")
    wait(game, 1)
    assert 18 <= steps(game) <= 24


def test_a_new_episode_is_announced():
    game = Game("MetaRL/DarkRoom-v0", seed=0, episodes_per_trial=3, horizon=2)
    game.env.reset(options={"task": {"goal": (3, 4)}})
    tap(game, "left")
    tap(game, "space")
    assert game.episodes == [2.0, 0.0]
    assert "Episode 2 of 3" in game.headline()
    assert "Episode 1 paid 2" in game.headline()


def test_arrows_come_in_one_order():
    for id in ("MetaRL/TMaze-v0", "MetaRL/DarkRoom-v0"):
        assert list(Game(id).controls.keys)[:4] == ["left", "right", "up", "down"]


def test_controls_that_nobody_can_use_are_refused():
    family = load_family(family_of("MetaRL/BernoulliBandit-v0"))
    with pytest.raises(TypeError, match=r"20 actions, .* or by sentences .* or name keys in BernoulliBandit\.keys"):
        Controls.of(family.with_params(arms=20))

    class Greedy(load_family(family_of("MetaRL/DarkRoom-v0"))):
        keys = {"n": (0, "north")}

    with pytest.raises(ValueError, match="'n'"):
        Controls.of(Greedy.with_params())


# ------------------------------------------------------------------------------------------- worlds that do not wait
def test_the_pole_falls_by_itself_at_the_pace_on_the_screen():
    game = Game("MetaRL/Pendulum-v0", seed=0)
    tap(game, "left")
    for rate in (10, 15, 20):
        before = steps(game)
        wait(game, 3)
        assert abs(steps(game) - before - 3 * rate) <= 1
        game.press("+")


def test_lost_time_is_not_made_up_for():
    game = Game("MetaRL/Pendulum-v0", seed=0)
    tap(game, "left")
    game.tick(5.0)
    before = steps(game)
    for _ in range(3):
        game.tick(0.001)
    assert steps(game) <= before + 1


def test_speed_stays_in_its_range():
    game = Game("MetaRL/CartPole-v0", seed=0)
    for key, end in (("-", SPEEDS[0]), ("+", SPEEDS[-1])):
        for _ in range(20):
            assert game.press(key)
        assert SPEEDS[game._speed] == end
    assert game.waiting, "speed is no action"


def test_pause_and_looking_away_stop_time():
    game = Game("MetaRL/CartPole-v0", seed=0)
    tap(game, "left")
    wait(game, 0.3)
    for stop in (lambda: game.press("p"), game.look_away):
        stop()
        before = steps(game)
        wait(game, 1)
        assert steps(game) == before
        game.press("p")
    wait(game, 0.3)
    assert steps(game) > before


def test_looking_away_lets_go_of_keys():
    game = Game("MetaRL/PointRobot-v0", seed=0)
    game.press("left")
    game.look_away()
    wait(game, 1)
    assert steps(game) == 0
    assert not game.paused, "it waits anyway"


def actions_of(game, monkeypatch):
    taken = []
    monkeypatch.setattr(game, "act", lambda action: taken.append(action) or game._actions.append(action))
    return taken


def test_the_key_pressed_last_counts_and_none_means_by_turns(monkeypatch):
    game = Game("MetaRL/CartPole-v0", seed=0)
    taken = actions_of(game, monkeypatch)
    for change, expected in (
        (lambda: game.press("right"), [1, 1]),
        (lambda: game.press("left"), [0, 0]),
        (lambda: game.release("left"), [1, 1]),
        (lambda: game.release("right"), [0, 1]),
    ):
        change()
        taken.clear()
        for _ in range(2):
            game.tick(0.1)
        assert taken == expected


@pytest.mark.parametrize("id", ["MetaRL/CartPole-v0", "MetaRL/Pendulum-v0", "MetaRL/PointRobot-v0"])
def test_a_tap_shorter_than_a_step_is_one_step(id, monkeypatch):
    game = Game(id, seed=0)
    taken = actions_of(game, monkeypatch)
    game.press("right")
    game.tick(0.01)
    game.release("right")
    for _ in range(3):
        game.tick(0.1)
    pushed = [np.ravel(action)[0] for action in taken]
    assert pushed[0] > 0
    assert pushed[1:] != [pushed[0]] * 2


def test_a_tap_and_a_hold_is_a_hold(monkeypatch):
    game = Game("MetaRL/PointRobot-v0", seed=0)
    taken = actions_of(game, monkeypatch)
    tap(game, "right")
    game.press("right")
    for _ in range(3):
        game.tick(0.05)
    assert len(taken) == 3


@pytest.mark.parametrize("id", ["MetaRL/CartPole-v0", "MetaRL/PointRobot-v0"])
def test_there_is_a_rest_between_episodes(id):
    game = Game(id, seed=0, episodes_per_trial=2, horizon=5)
    game.press("right")
    while len(game.episodes) == 1:
        game.tick(FRAME)
    banner = game.frame()[40:84, :480]
    wait(game, 0.8)
    assert steps(game) == 0
    wait(game, 1.2)
    assert steps(game) > 0 or game.over
    assert (game.frame()[40:84, :480] != banner).any()


# ------------------------------------------------------------------------------------------- mouse and axes
BOXES = [id for id in IDS if isinstance(load_family(family_of(id)).with_params().action_space, Box)]


@pytest.mark.parametrize("id", BOXES)
def test_held_keys_push_to_the_limits(id, monkeypatch):
    game = Game(id, seed=0)
    taken = actions_of(game, monkeypatch)
    space = game.env.action_space
    for key, (axis, way) in game.controls.axes.items():
        game.press(key)
        game.tick(0.2)
        assert taken[-1] in space
        assert taken[-1][axis] == (space.high[axis] if way > 0 else space.low[axis] if way < 0 else 0)
        game.release(key)


def test_the_point_goes_to_the_mouse_and_stays_there():
    game = Game("MetaRL/PointRobot-v0", seed=0)
    game.point(240 + 0.5 * 160, 240 - 0.85 * 160)
    game.press("mouse")
    path = []
    for _ in range(12):
        game.tick(0.05)
        path.append(tuple(state(game)["at"]))
    assert path[-1] == pytest.approx((0.5, 0.85), abs=1e-6)
    assert path[-1] == path[-2]
    assert all(y == pytest.approx(x * 0.85 / 0.5, abs=1e-6) for x, y in path), "straight"
    game.release("mouse")
    before = steps(game)
    wait(game, 1)
    assert steps(game) == before


def test_the_point_can_stay_where_it_is():
    game = Game("MetaRL/PointRobotSparse-v0", seed=0)
    game.press("space")
    wait(game, 1)
    assert steps(game) > 10
    assert not state(game)["at"].any()


@pytest.mark.parametrize(("x", "torque"), [(0, -2), (120, -1), (240, 0), (480, 2), (700, 2)])
def test_the_mouse_is_a_lever_for_the_torque(x, torque, monkeypatch):
    game = Game("MetaRL/Pendulum-v0", seed=0)
    taken = actions_of(game, monkeypatch)
    game.point(100, 100)
    game.press("mouse")
    game.point(x, 300)  # may leave the picture while the button is held
    game.tick(0.1)
    assert taken[0] == pytest.approx([torque])


def test_a_family_of_discrete_actions_may_take_clicks():
    class Clicked(load_family(family_of("MetaRL/BernoulliBandit-v0"))):
        @staticmethod
        def click_action(p, state, x, y):
            return int(x // (480 / p.arms)) if y > 60 else None

    game = Game("MetaRL/BernoulliBandit-v0", seed=0)
    assert not game.press("mouse"), "the bandit itself has none"
    game.controls = Controls.of(Clicked.with_params())
    assert ("mouse",) in [keys for keys, _ in game.controls.legend()]
    for x, y, pulled in ((100, 30, [0, 0, 0, 0, 0]), (100, 100, [0, 1, 0, 0, 0]), (470, 100, [0, 1, 0, 0, 1])):
        game.point(x, y)
        tap(game, "mouse")
        assert state(game)["pulled"].tolist() == pulled


def test_a_click_outside_of_the_world_is_none():
    game = Game("MetaRL/Pendulum-v0", seed=0)
    for place in ((600, 100), (100, 550)):
        game.point(*place)
        game.press("mouse")
        assert game.waiting
    assert not Game("MetaRL/DarkRoom-v0", seed=0).press("mouse")


# ------------------------------------------------------------------------------------------- what is drawn
def test_a_goal_is_seen_though_one_stands_on_it():
    for id, goal in (("MetaRL/DarkRoom-v0", (4, 4)), ("MetaRL/DarkRoomHard-v0", (8, 8)), ("MetaRL/GridNavi-v0", (0, 4))):
        game = Game(id, seed=0)
        game.env.reset(options={"task": {"goal": goal}})
        for _ in range(4 if goal == (0, 4) else 0):
            game.act(3)
        game.env.reveal = True
        size = game.env.variant.p.size
        x, y = (round(24 + (place + 0.5) * 432 / size) for place in goal)
        assert tuple(game.env.render()[y, x]) == canvas.GOAL


def test_the_key_is_shown_though_it_was_taken():
    pictures = []
    for key in ((5, 4), (6, 4)):
        game = Game("MetaRL/DarkKeyToDoor-v0", seed=0, start="centre")
        game.env.reset(options={"task": {"key": key, "door": (0, 0)}})
        for action in (2, 2, 4):  # right twice and back: the key is taken either way
            game.act(action)
        game.env.reveal = True
        pictures.append(game.env.render())
    assert (pictures[0] != pictures[1]).any()


def test_a_verdict_names_the_share():
    game = Game("MetaRL/BernoulliBandit-v0", seed=0)
    play_out(game)
    game.scores, game.episodes = TrialScale(oracle=10.0, random=5.0), [4.99]
    assert "at 0%" in game.verdict()
    game.scores = TrialScale(oracle=5.0, random=5.0)
    assert "no more" in game.verdict()


def test_a_family_without_an_oracle_can_be_played(monkeypatch):
    game = Game("MetaRL/PointRobotSparse-v0", seed=0, horizon=3)
    monkeypatch.setattr(game.env.variant.family, "references", {})
    monkeypatch.setattr(references, "exact_returns", lambda variant, task: None)
    play_out(game)
    assert np.isnan(game.scores.oracle)
    assert "no oracle" in game.verdict()
    assert "nan" not in game.verdict()
    assert game.frame().shape == (480 + STRIP, 720, 3)


def test_scores_are_worked_out_after_the_end_was_shown():
    game = Game("MetaRL/BernoulliBandit-v0", seed=0, horizon=1)
    tap(game, "1")
    assert game.over
    assert game.scores is None
    assert "Working out" in game.verdict()
    assert game.tick(FRAME)
    assert game.scores is not None


def test_a_notice_goes_away():
    game = Game("MetaRL/DarkRoom-v0", seed=0)
    usual = game.headline()
    game.tell("something happened")
    assert game.headline() == "something happened"
    wait(game, 5)
    assert game.headline() == usual


# ------------------------------------------------------------------------------------------- the window
class Stub:
    """A game that notes what a window does with it, and posts events of its own."""

    title = "a game called Stub"

    def __init__(self, *events, ticks=1):
        self.events, self.ticks, self.heard, self.said = list(events), ticks, [], []

    def press(self, key):
        self.heard.append(f"+{key}")
        return True

    def release(self, key):
        self.heard.append(f"-{key}")

    def point(self, x, y):
        self.heard.append((x, y))

    def look_away(self):
        self.heard.append("away")

    def tell(self, notice):
        self.said.append(notice)

    def frame(self):
        return np.full((120, 200, 3), len(self.heard), np.uint8)

    def tick(self, seconds):
        import pygame

        self.ticks -= 1
        if self.events:
            kind, values = self.events.pop(0)
            pygame.event.post(pygame.event.Event(getattr(pygame, kind), **values))
        elif self.ticks <= 0:
            pygame.event.post(pygame.event.Event(pygame.QUIT))
        return True


@pytest.fixture(autouse=True)
def dummy_screen(monkeypatch):
    import pygame

    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [(230, 140)])  # just large enough for a stub


def down(key, written=""):
    return "KEYDOWN", {"key": key, "unicode": written}


def up(key):
    return "KEYUP", {"key": key}


def test_the_window_hands_over_keys_and_mouse_and_closes():
    import pygame

    game = Stub(
        down(pygame.K_LEFT),
        up(pygame.K_LEFT),
        down(pygame.K_KP4, "4"),
        up(pygame.K_KP4),
        down(pygame.K_1, "1"),
        down(pygame.K_AMPERSAND, "1"),  # digits need shift on some keyboards
        down(pygame.K_EQUALS, "="),
        up(pygame.K_EQUALS),
        down(pygame.K_EQUALS, "+"),
        down(pygame.K_SPACE, " "),
        ("MOUSEMOTION", {"pos": (3, 4), "rel": (0, 0), "buttons": (0, 0, 0)}),
        ("MOUSEBUTTONDOWN", {"pos": (5, 6), "button": 1}),
        ("MOUSEBUTTONDOWN", {"pos": (5, 6), "button": 3}),
        ("MOUSEBUTTONUP", {"pos": (5, 6), "button": 1}),
        ("WINDOWFOCUSLOST", {}),
        down(pygame.K_ESCAPE),
        ticks=1000,
    )
    play(game)
    keys = ["+left", "-left", "+4", "-4", "+1", "+1", "++", "-+", "++", "+space"]
    assert [what for what in game.heard if what != "away"] == [*keys, (3, 4), (5, 6), "+mouse", "-mouse"]
    assert game.heard[-1] == "away"
    assert not pygame.display.get_init()


def test_a_picture_fits_any_window():
    assert fit((200, 100), (200, 100)) == (0, 0, 200, 100)
    assert fit((200, 100), (300, 400)) == (0, 125, 300, 150)
    assert fit((200, 100), (1000, 50)) == (450, 0, 100, 50)
    assert fit((200, 100), (1, 1))[2:] == (1, 1)
    assert first_size((720, 620), (1366, 768)) == (720, 620)
    assert first_size((720, 620), (3840, 2160)) == (2160, 1860)
    assert first_size((720, 620), (800, 600)) == (627, 540)


def test_in_a_window_made_larger_the_mouse_is_where_it_looks(monkeypatch):
    import pygame

    monkeypatch.setattr(pygame.display, "get_desktop_sizes", lambda: [(500, 500)])
    game = Stub(("MOUSEMOTION", {"pos": (200, 60), "rel": (0, 0), "buttons": (0, 0, 0)}))
    play(game)  # at twice the picture's size
    assert (100, 30) in game.heard


def test_the_window_closes_when_the_game_breaks():
    import pygame

    game = Stub()
    game.tick = lambda seconds: 1 / 0
    with pytest.raises(ZeroDivisionError):
        play(game)
    assert not pygame.display.get_init()


def test_screenshots_of_one_second_are_several_files(tmp_path):
    import pygame

    game = Stub(*[down(pygame.K_s, "s")] * 3)
    play(game, tmp_path / "new")
    files = sorted((tmp_path / "new").glob("Stub-*.png"))
    assert len(files) == 3
    assert len(game.said) == 3
    assert pygame.image.load(files[0]).get_size() == (200, 120)
    assert set(game.heard) <= {"away"}, "the key is the window's own"


def test_a_screenshot_that_cannot_be_written_says_so_on_the_screen(tmp_path):
    import pygame

    (tmp_path / "file").write_text("in the way")
    game = Stub(down(pygame.K_s, "s"))
    play(game, tmp_path / "file" / "folder")
    assert game.said[0].startswith("No screenshot")


def test_there_are_sixty_frames_a_second():
    import time

    game = Stub(ticks=60)
    start = time.perf_counter()
    play(game)
    assert FRAMES_A_SECOND == 60
    assert time.perf_counter() - start > 0.9, "no faster; how slow depends on the machine"


def test_a_real_game_in_the_window(tmp_path):
    import pygame

    game = Game("MetaRL/DarkRoom-v0", seed=0)
    tick, events = game.tick, [pygame.K_LEFT, pygame.K_s, pygame.K_ESCAPE]

    def press_something(seconds):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=events.pop(0)))
        return tick(seconds)

    game.tick = press_something
    play(game, tmp_path)
    assert steps(game) == 1
    (screenshot,) = tmp_path.glob("DarkRoom-*.png")
    assert (pygame.surfarray.array3d(pygame.image.load(screenshot)).transpose(1, 0, 2)[:480] == game.env.render()).all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems always have a screen")
def test_no_screen_is_one_clear_line():
    hidden = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER")
    env = {name: value for name, value in os.environ.items() if name not in hidden}
    command = [sys.executable, "-m", "metarl_envs.cli", "play", "DarkRoom"]
    done = subprocess.run(command, cwd=Path(__file__).parent, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "no screen" in done.stderr
    assert "Traceback" not in done.stderr
