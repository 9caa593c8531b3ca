"""Controls: what each takes away from a player, where it can act, and a player under it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gymnasium.vector import VectorEnv

from metarl_envs.engine.family import Variant
from metarl_envs.evaluation.diagnostics import means_of_arms
from metarl_envs.players.factories import Wrapped
from metarl_envs.players.feeding import Past, past_of
from metarl_envs.players.models.language_model import LanguageModel
from metarl_envs.players.resolve import Anyone
from metarl_envs.players.run import Run
from metarl_wrappers import (
    VectorForgetEachEpisode,
    VectorHideReward,
    VectorPermuteActions,
    VectorReflectReward,
    VectorSwapReward,
)

#: The names of controls, in the order of a verdict.
SWAPPED, FORGETS, HIDDEN, REFLECTED = "another task's feedback", "memory lost", "feedback hidden", "feedback reflected"
PERMUTED, PERMUTED_LATER = "actions permuted", "actions permuted in mid-trial"
#: What a player is fed that looks on at half of a life first, and then lives on; the first is what the others are held against.
FED_OWN, FED_OTHER = "fed its own life", "fed another task's life"
FED_IN_DISORDER = "fed its own life in another order"
FED = {
    FED_OWN: "nothing: it looks on at its own life so far, told again, and lives on",
    FED_OTHER: "the life so far: it looks on at one of its own on another task, and lives on",
    FED_IN_DISORDER: "the order of episodes: it looks on at its own ones in another order, and lives on",
}
#: The same by the wrapper that makes them.
WRAPPERS = {
    "SwapReward": SWAPPED,
    "ForgetEachEpisode": FORGETS,
    "HideReward": HIDDEN,
    "ReflectReward": REFLECTED,
    "PermuteActions": PERMUTED,
}
#: Reflected feedback decides where the worst policy is this share of the oracle's lead below random.
_ROOM_BELOW = 0.2


@dataclass(frozen=True)
class Control:
    """A control in one family.

    Attributes:
        name: how a verdict calls it.
        takes: what it takes away.
        wrapper: it, around a vector environment; None where it cannot act.
        why_not: why it cannot; empty where it can.
    """

    name: str
    takes: str
    wrapper: Callable[[VectorEnv], VectorEnv] | None
    why_not: str = ""


def under(player: Anyone, *wrappers: Callable[[VectorEnv], VectorEnv]) -> Wrapped:
    """Return a player who meets the environment through more wrappers, beneath its own; a language model with a new record."""
    inside, own = (player.factory, player.wrappers) if isinstance(player, Wrapped) else (player, ())
    inside = inside.written_to(None) if isinstance(inside, LanguageModel) else inside
    return Wrapped(inside, *wrappers, *own)


def control_by(name: str, variant: Variant, episodes: int | None = None) -> Callable[[VectorEnv], VectorEnv]:
    """Return a control as a verdict has it, around a vector environment of at least two rows.

    Args:
        name: of its wrapper, such as "SwapReward": one of `WRAPPERS`.
        variant: the family with its parameters set.
        episodes: in a lifetime; None for several.

    Raises:
        ValueError: there is none of that name, or it cannot act here.
    """
    if name not in WRAPPERS:
        raise ValueError(f"control={name!r} must be one of {', '.join(WRAPPERS)}")
    block = variant.family.curve_unit_length(variant.p)
    known = {one.name: one for one in controls_of(variant, None, tasks=2, episodes=episodes or 2, block=block)}
    found = known[WRAPPERS[name]]
    if found.wrapper is None:
        raise ValueError(f"control={name!r} cannot act here: {found.why_not}")
    return found.wrapper


def controls_of(variant: Variant, intact: Run | None, *, tasks: int, episodes: int, block: int, seed: int = 0) -> list[Control]:
    """Return the controls of a verdict.

    Args:
        variant: the family with its parameters set.
        intact: what the player did without a control, one life on each task for each seed, ordered as [seed, task]: from it
            comes the feedback of other lives, where that stands in observations. None: there is none to be had.
        tasks: how many there are, each of which is a row of the vector environment.
        episodes: in a lifetime.
        block: steps in a block of the learning curve; 0 where its points are episodes.
        seed: of permutations.
    """
    family, p = variant.family, variant.p
    places, ends = family.feedback(p), family.feedback_range(p)
    lives = None if places is None or intact is None else feedback_of(intact, places)
    unknown = (
        "feedback stands in observations here, and there are no lives of others to take it from" if places and not lives else ""
    )
    lived_by = None if lives is None else [i % tasks for i in range(len(lives))]
    swap = functools.partial(VectorSwapReward, lives=lives, seed=seed, feedback=places, lived_by=lived_by)
    tenth = max(1, variant.horizon // 10)
    forget = functools.partial(VectorForgetEachEpisode, every=tenth) if block else VectorForgetEachEpisode
    units = variant.horizon // block if block else episodes
    half = {"after_steps": block * (units // 2)} if block else {"after_episodes": units // 2}
    if ends is not None:
        reflect = functools.partial(VectorReflectReward, low=ends[0], high=ends[1], feedback=places)
    else:
        reflect = None
    discrete = not variant.action.shape and variant.actions > 1
    when = f"every {tenth} steps" if block and tenth > 1 else f"at each {'step' if block else 'episode'}"
    few = "" if units > 1 else f"a lifetime is one {'block' if block else 'episode'}"
    never = "" if block else few
    alone = "there is one action only" if not variant.action.shape else "its actions are no Discrete ones"
    return [
        Control(SWAPPED, "the feedback of its own task", None if unknown else swap, unknown),
        Control(FORGETS, f"memory, {when}", None if never else forget, never),
        Control(HIDDEN, "all feedback", functools.partial(VectorHideReward, feedback=places)),
        Control(
            REFLECTED,
            "which end of the range of feedback is the good one",
            reflect,
            "" if reflect else "the family declares no range of feedback",
        ),
        Control(
            PERMUTED,
            "what each action means, in each trial anew",
            functools.partial(VectorPermuteActions, seed=seed) if discrete else None,
            "" if discrete else alone,
        ),
        Control(
            PERMUTED_LATER,
            "what each action means, from the middle of the trial on",
            functools.partial(VectorPermuteActions, seed=seed, **half) if discrete and not few else None,
            few if discrete else alone,
        ),
    ]


def pasts_of(intact: Run, *, tasks: int, episodes: int, seed: int = 0) -> dict[str, Past]:
    """Return what is told to players that are fed, by the name of the control: of each life on each task.

    Another task's life is one by the same seed. Where one episode is told, there is no other order.

    Args:
        intact: as in `controls_of`.
        tasks: as in `controls_of`.
        episodes: how many are told.
        seed: of which task's life is told, and of orders.
    """
    generator = np.random.default_rng(seed)
    cycle = generator.permutation(tasks)  # at random, since neighbours in a list of tasks may be alike
    following = np.empty(tasks, np.int64)
    following[cycle] = np.roll(cycle, -1)
    rows = np.arange(len(intact))
    others = rows - rows % tasks + following[rows % tasks]
    pasts = {FED_OWN: past_of(intact, episodes), FED_OTHER: past_of(intact, episodes, shown=others)}
    if episodes > 1:
        order = generator.permuted(np.tile(np.arange(episodes), (len(intact), 1)), axis=1)
        pasts[FED_IN_DISORDER] = past_of(intact, episodes, order=order)
    return pasts


def feedback_of(run: Run, places: tuple[int, ...]) -> list[list[list[float]]]:
    """Return the feedback that stood in observations after each step, [life][step][place]."""
    written = run.columns()
    seen = written.columns["observation"]
    lives = []
    for i, steps in enumerate(run.steps.tolist()):
        after = np.zeros((steps, len(places)))
        after[:-1] = seen[i, 1:steps][:, list(places)]
        episodes = int(written.episodes[i])
        after[written.until[i, :episodes] - 1] = written.final_observations[i, :episodes][:, list(places)]
        lives.append(after.tolist())
    return lives


def reflection_decides(variant: Variant, tasks: np.ndarray, random: np.ndarray, oracle: np.ndarray) -> bool:
    """Return whether there is room below random play, so that who follows reflected feedback must be seen to fall below it.

    Known for bandits, and where feedback stands in observations and predictions can be wrong without end.
    """
    if variant.family.feedback(variant.p) is not None:
        return True
    if variant.action.shape or variant.num_states != 1:
        return False
    worst = means_of_arms(variant, tasks).min(axis=1) * variant.horizon
    return bool(((random - worst) / (oracle - random)).mean() >= _ROOM_BELOW)
