"""The game behind the window: a trial that a person plays, and what is on the screen."""

from __future__ import annotations

import math
import secrets
from typing import Any

import numpy as np

from metarl_envs.arguments import SEEDS, as_seed
from metarl_envs.engine import Picture, Row, canvas
from metarl_envs.engine.envs.single import SingleEnv
from metarl_envs.evaluation.references import TrialScale, trial_scale
from metarl_envs.ids import family_of
from metarl_envs.making import make_single
from metarl_envs.play.controls import MOUSE, Controls
from metarl_envs.play.strip import LEFT, SPEEDS, STRIP, draw_keys, fitted_lines
from metarl_envs.players.run import Run, joined, played_by_hand

#: The keys of every game.
GAME_KEYS = {"N": "next trial", "R": "same trial again", "P": "pause", "S": "screenshot", "Esc": "quit"}
#: Seconds before a held key repeats, between two episodes, and for which a notice stays.
BEFORE_REPEAT, BETWEEN_EPISODES, NOTICE = 0.4, 1.0, 3.0


class Game:
    """One person, trial after trial. It knows nothing of windows: keys and seconds come in, pictures go out.

    Args:
        id: a registered id, or its name alone ("DarkRoom").
        seed: of the first trial, and one more of each next one; None for a random one.
        arguments: as for `gymnasium.make`: `episodes_per_trial`, `split`, the family's parameters.
    """

    def __init__(self, id: str, *, seed: int | None = None, **arguments: Any):
        env = make_single(family=family_of(id), render_mode="rgb_array", ground_truth=True, **arguments)
        assert isinstance(env, SingleEnv)
        self.env, self.controls = env, Controls.of(env.variant)
        self.title = f"metarl_envs: {env.variant.name}"
        self.instructions = env.variant.family.short_instructions(env.variant.p)
        self._speed = SPEEDS.index(10 if self.controls.realtime else 20)  # what does not wait begins slowly
        self._notice, self._notice_left = "", 0.0
        self._place = 0.0, 0.0
        self._played: list[Run] = []
        self._begin(secrets.randbits(32) if seed is None else seed)

    # ----------------------------------------------------------------------------------------- what a person does
    def press(self, key: str) -> bool:
        """Take a key, or the mouse button, that goes down, and return whether it stands for anything now."""
        if key == "n":
            self.next_trial()
        elif key == "r":
            self.restart()
        elif key == "p" and not self.over:
            self.paused = not self.paused
            self.let_go()
        elif key in ("-", "+") and self.controls.flows:
            self._speed = min(max(self._speed + (1 if key == "+" else -1), 0), len(SPEEDS) - 1)
        elif self.controls.acts(key) and not (self.paused or self.over):
            self._take_up(key)
        else:
            return False
        return True

    def release(self, key: str) -> None:
        """Let a key go up. What no step has seen yet counts for the next one, however short it was."""
        if key in self._unseen:
            self._gone.add(key)
        elif key in self._held:
            self._held.remove(key)

    def point(self, x: float, y: float) -> None:
        """Move the mouse to a place of the screen."""
        self._place = x, y

    def let_go(self) -> None:
        """No key is down any more."""
        self._held: list[str] = []
        self._unseen, self._gone = set[str](), set[str]()

    def look_away(self) -> None:
        """Pause a world that moves on by itself, since the person does something else."""
        self.let_go()
        self.paused |= self.controls.realtime and not (self.over or self.waiting)

    def tick(self, seconds: float) -> bool:
        """Time goes by; whether there is something new to see."""
        changed = self._fade(seconds)
        if self.over and self.scores is None:
            task = self.env.tasks.row(self.truth["task"])
            self.scores = trial_scale(self.env.variant, task, self.env.episodes_per_trial)
            return True
        if self.over or self.paused or self.waiting:
            return changed
        if self._rest > 0:
            self._rest -= seconds
            return changed or self._rest <= 0
        self._since_step += seconds
        if self._since_step < 1 / SPEEDS[self._speed]:
            return changed
        # what is over counts for the next step, so that the pace is exact; lost time is not made up for
        self._since_step = min(self._since_step - 1 / SPEEDS[self._speed], 1 / SPEEDS[self._speed])
        return self._go_on() or changed

    # ----------------------------------------------------------------------------------------- the trial
    def next_trial(self) -> None:
        """Begin a trial on a new hidden task."""
        self._played = self._trials()
        self._begin((self._seed + 1) % SEEDS)

    def restart(self) -> None:
        """Begin the trial again, with the same task and the same noise."""
        self._played = self._trials()
        self.env.set_state(self._first)
        self._start_afresh()

    @property
    def was_played(self) -> bool:
        """Whether any step was made."""
        return bool(self._played or self._actions)

    def run(self) -> Run:
        """Return the trials so far as a run, one row each, which can be scored, replayed and saved like that of any agent.

        The task of a trial that is played again was shown at the end of the first time, and nothing in the run says so but that
        two rows have the same seed.

        Raises:
            ValueError: no step was made.
        """
        if not self.was_played:
            raise ValueError("no step was made, so there is no run yet")
        return joined(self._trials())

    def act(self, action: Any) -> None:
        """Take one step, unless the trial is over."""
        if self.over:
            return
        _, self.reward, terminated, truncated, info = self.env.step(action)
        self._actions.append(action)
        self.episodes[-1] += self.reward
        self.over = self.env.reveal = terminated or truncated
        if info["trial"]["episode_start"] and not self.over:
            self.episodes.append(0.0)
            self._rest = BETWEEN_EPISODES

    @property
    def total(self) -> float:
        """What the trial has paid so far."""
        return math.fsum(self.episodes)

    # ----------------------------------------------------------------------------------------- the screen
    def tell(self, notice: str) -> None:
        """Say something for a short while."""
        self._notice, self._notice_left = notice, NOTICE

    def frame(self) -> np.ndarray:
        """Return the screen: uint8 of shape (480 + STRIP, 720, 3)."""
        world = self.env.render()
        assert isinstance(world, np.ndarray)
        if banner := self._banner():
            world[40:84, : canvas.WORLD] = _banner_picture(banner)
        return np.vstack([world, self._strip()])

    def headline(self) -> str:
        """Return what the player should know right now."""
        if self._notice:
            return self._notice
        if self.over:
            return "Trial over: the hidden task is shown. N: a new one. R: the same again."
        episodes, now = self.env.episodes_per_trial, len(self.episodes)
        if episodes == 1:
            return "One episode on a hidden task: earn what you can."
        if now == 1:
            return f"{episodes} episodes on the same hidden task: earn what you can."
        return f"Episode {now} of {episodes}, the same hidden task. Episode {now - 1} paid {self.episodes[-2]:.4g}."

    def verdict(self) -> str:
        """Return where the player stands between random play and the oracle."""
        if self.scores is None:
            return "Working out what the oracle earns ..."
        if math.isnan(self.scores.oracle):
            return "This family has no oracle: nobody knows what the most is."
        score = self.scores.score(self.total)
        if math.isnan(score):
            return "The oracle knows the task; here it earns no more than random play."
        percent = round(100 * score)
        return f"The oracle knows the task. From random play (0%) to the oracle (100%), you are at {percent}%."

    def _strip(self) -> np.ndarray:
        strip = Picture(canvas.WIDTH, STRIP)
        strip.line(0, 0, canvas.WIDTH, 0, canvas.LINES, 2)
        strip.text(LEFT, 12, self.headline(), size=16, color=canvas.GOAL if self.over or self._notice else canvas.TEXT)
        if self._actions:
            color = canvas.GOOD if self.reward > 0 else canvas.BAD if self.reward < 0 else canvas.MUTED
            reward = f"reward {self.reward:+.3g}" if self.reward else "reward 0"
            strip.text(canvas.WIDTH - LEFT, 10, reward, size=19, color=color, align="right")
        if self.over:
            self._draw_scores(strip)
        else:
            for i, line in enumerate(fitted_lines(self.instructions, 14, 2)):
                strip.text(LEFT, 38 + 18 * i, line, size=14)
        draw_keys(strip, 84, self.controls.legend())
        speed = [(("-", "+"), f"speed: {SPEEDS[self._speed]} steps/s")] if self.controls.flows else []
        draw_keys(strip, 112, [((key,), meaning) for key, meaning in GAME_KEYS.items()] + speed)
        return strip.array()

    def _draw_scores(self, strip: Picture) -> None:
        rows = [("you", self.total, canvas.AGENT)]
        if self.scores is not None:
            rows += [("oracle", self.scores.oracle, canvas.GOAL), ("random play", self.scores.random, canvas.MUTED)]
        x = float(LEFT)
        for name, score, color in (row for row in rows if not math.isnan(row[1])):
            x += strip.text(x, 41, name, size=14, color=canvas.MUTED) + 8
            x += strip.text(x, 36, f"{score:.4g}", size=20, color=color) + 8
            if name != "you":
                x += strip.text(x, 41, "on average", size=13, color=canvas.MUTED)
            x += 28
        strip.text(LEFT, 61, self.verdict(), size=13)

    def _banner(self) -> str:
        if self.paused:
            return "Paused. P: go on"
        if self.waiting:
            return "Press one of the keys below to begin"
        if self.controls.flows and self._rest > 0 and not self.over:
            return f"Episode {len(self.episodes) - 1} paid {self.episodes[-2]:.4g}. Here comes the next"
        return ""

    # ----------------------------------------------------------------------------------------- inside
    def _begin(self, seed: int) -> None:
        self._seed = as_seed(seed)
        _, info = self.env.reset(seed=seed)
        self.truth = info["metarl"]
        self._first = self.env.get_state()
        self._start_afresh()

    def _start_afresh(self) -> None:
        self.over = self.env.reveal = self.paused = False
        self.waiting = self.controls.realtime  # nobody reads the instructions while a pole falls
        self.reward, self.episodes = 0.0, [0.0]
        self.scores: TrialScale | None = None
        self._actions: list[Any] = []
        self._rest, self._since_step = 0.0, 0.0
        self.let_go()

    def _trials(self) -> list[Run]:
        """The trials that were played, the one that goes on included."""
        if not self._actions:
            return self._played
        how = {"split": self.env.tasks.split, "episodes": self.env.episodes_per_trial, "player": "person"}
        task = self.env.tasks.row(self.truth["task"])
        return [*self._played, played_by_hand(self.env.variant, task, self._seed, self._actions, **how)]

    def _take_up(self, key: str) -> None:
        """A key of the family goes down: alone it is a step, in a world that flows it counts from the next one on."""
        if key == MOUSE and not (self._place[0] < canvas.WORLD and self._place[1] < canvas.HEIGHT):
            return
        self.waiting = False
        self._held = [*(other for other in self._held if other != key), key]
        self._unseen.add(key)
        self._gone.discard(key)
        if not self.controls.flows:
            self._go_on()
            self._rest = max(self._rest, BEFORE_REPEAT)

    def _go_on(self) -> bool:
        """Take the step that is asked for, if one is."""
        if not (self._held or self.controls.realtime):
            return False
        state = Row(self.env.get_state()["worlds"]["state"][0])
        action = self.controls.action(self._held, self._place, state, len(self._actions))
        if action is not None:
            self.act(action)
        self._held = [key for key in self._held if key not in self._gone]
        self._unseen, self._gone = set(), set()
        return True

    def _fade(self, seconds: float) -> bool:
        self._notice_left -= seconds
        if not self._notice or self._notice_left > 0:
            return False
        self._notice = ""
        return True


def _banner_picture(text: str) -> np.ndarray:
    banner = Picture(canvas.WORLD, 44)
    banner.rectangle(0, 0, canvas.WORLD, 44, canvas.LINES)
    banner.text(canvas.WORLD / 2, 12, text, size=17, color=canvas.GOAL, align="center")
    return banner.array()
