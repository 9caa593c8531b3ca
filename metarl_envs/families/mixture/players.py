"""Players of a mixture that are told the part and the disguise: in each part they play as somebody plays in its own family."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from metarl_envs.engine import Oracle, Parameters, Player, Text, Variant, kernel, randint, record
from metarl_envs.engine.composing import led_to
from metarl_envs.engine.player import heuristics_of, references_of
from metarl_envs.engine.records import for_drivers
from metarl_envs.families.mixture.disguise import hides_observations, undoing
from metarl_envs.families.mixture.parts import Parts, parts_at


@kernel
def first_that_does(does, own):
    """The first action that does what an action of the part does; 0 where none does."""
    for a in range(len(does)):
        if does[a] == own:
            return a
    return 0


def _as_it_is(name: str, value: Any) -> str:
    """A name; TypeError if it is none."""
    if not isinstance(value, str):
        raise TypeError(f"{name}={value!r} must be a name")
    return value


# ------------------------------------------------------------------------------------------------- told: one player a part
class PartPlayer(Oracle):
    """Plays in each part as a player of that part's own family does: what it sees and does there goes through the disguise.

    It is told the part and the disguise, and its players what they are told in their own families.
    """

    def players(self, parts: Mapping[str, Variant]) -> dict[str, Player]:
        """Return who plays in each part, by its name."""
        raise NotImplementedError(f"{type(self).__name__} must say who plays in each part")

    def bind(self, variant: Variant) -> Player:
        """Return it with the kernels of those who play in the variant's parts."""
        parts = parts_at(variant.p)
        own = {name: player.bind(parts.by_name[name]) for name, player in self.players(parts.by_name).items()}
        kinds = tuple(type(player) for player in own.values())
        return _class_of(type(self).__name__, parts, variant.p.disguise, kinds)(parts, own)


class PartOracle(PartPlayer):
    """The oracle of each part."""

    def players(self, parts):
        """Return each family's reference "oracle"."""
        return {name: references_of(part)["oracle"] for name, part in parts.items()}


class PartRandom(PartPlayer):
    """Plays the part's own actions, all alike: of those of the mixture, several may do the same."""

    def players(self, parts):
        """Return uniformly random players."""
        return {name: _Uniform() for name in parts}


@kernel
def act_uniformly(hyper, memory, params, task, state, rng):
    """Any of the part's actions, all alike."""
    return randint(rng, len(memory.actions))


class _Uniform(Oracle):
    """Any action of a family, all alike."""

    act = act_uniformly

    @staticmethod
    def memory(p, variant):
        """One unused byte an action: the shape says how many there are."""
        return record(actions=(np.uint8, variant.actions))


def references_between(part: Variant) -> dict[str, Player]:
    """Return a family's references that are neither its oracle nor random play, by name: heuristics, and some that learn."""
    return {name: player for name, player in references_of(part).items() if name not in ("oracle", "random")}


class PartReference(PartPlayer):
    """Plays as one reference of one part does, in that part; in others at random.

    Hyper-parameters:
        part, reference: their names.
    """

    params = Parameters(
        part=Text("", _as_it_is, "the name of a part"), reference=Text("", _as_it_is, "the name of a reference")
    )

    def players(self, parts):
        """Return the reference for its part, and random play for the others."""
        own = {self.p.part: references_between(parts[self.p.part])[self.p.reference]}
        return {name: own.get(name, _Uniform()) for name in parts}


class WhichPart(PartPlayer):
    """Is told the part and the disguise, and plays the first of the part's heuristics; at random where the part has none.

    It is the strongest player that does not learn what pays: a learner must be compared with it.
    """

    def players(self, parts):
        """Return the first heuristic of each part."""
        return {name: next(iter(heuristics_of(part).values()), _Uniform()) for name, part in parts.items()}


# ------------------------------------------------------------------------------------------------- how they are put together
class _Bound(PartPlayer):
    """A player of each part, put together."""

    def __init__(self, parts: Parts, players: Mapping[str, Player]):
        super().__init__()
        self._parts, self._own = parts.by_name, players
        self._memories = {name: _memory_in(parts.by_name[name], player) for name, player in players.items()}
        hyper = np.zeros(1, record(**{name: player.hyper.dtype for name, player in players.items()}))
        for name, player in players.items():
            hyper[name] = player.hyper.view(np.ndarray)
        self.hyper = for_drivers(hyper)

    def bind(self, variant: Variant) -> Player:
        """Itself."""
        return self

    def memory(self, p: Any, variant: Variant) -> np.dtype:  # type: ignore[override]
        """The part, the disguise, what was seen without it, and a memory for the player of each part."""
        fields: dict[str, Any] = {"which": np.int64}
        fields |= {
            name: _field(variant.task[name]) for name in ("does", "image", "projection") if name in (variant.task.names or ())
        }
        fields["plain"] = np.float64, variant.observation.shape
        return record(**fields, **self._memories)

    def initial_memory(self, variant: Variant) -> np.ndarray:
        """What each part's player knows before a lifetime begins."""
        row = np.zeros(1, self.memory(self.p, variant))
        for name, player in self._own.items():
            row[name]["own"] = player.initial_memory(self._parts[name])
        return row


def _field(dtype: np.dtype) -> Any:
    return (dtype.base, dtype.shape) if dtype.shape else dtype


def _memory_in(part: Variant, player: Player) -> np.dtype:
    """The memory of a part's player, and what it sees before and after a step."""
    sight = part.observation.dtype, part.observation.shape
    return record(own=player.memory(player.p, part), seen=sight, then=sight)


@functools.lru_cache(maxsize=64)
def _class_of(name: str, parts: Parts, disguise: str, own: tuple[type[Player], ...]) -> type[_Bound]:
    """The class whose kernels lead to those of the players of the parts."""
    told = {
        part: _told(variant, player, *sight)
        for (part, variant), player, sight in zip(parts.variants, own, parts.sights, strict=True)
    }
    begin_part, act_in_part, learn_in_part = (
        led_to({part: kernels[k] for part, kernels in told.items()}, called, arguments, given_back, which)
        for k, (called, arguments, given_back, which) in enumerate(
            (
                ("begin", ("hyper", "memory", "params", "task", "rng"), "{call}", "task.which"),
                ("act", ("hyper", "memory", "params", "task", "state", "rng"), "return int({call})", "task.which"),
                (
                    "learn",
                    ("hyper", "memory", "action", "reward", "terminated", "truncated", "plain", "rng"),
                    "{call}",
                    "memory.which",
                ),
            )
        )
    )
    note, number_at = _noting(disguise), undoing(disguise)

    @kernel
    def begin(hyper, memory, params, task, rng):
        memory.which = task.which
        for a in range(len(task.does)):
            memory.does[a] = task.does[a]
        note(memory, task)
        begin_part(hyper, memory, params, task, rng)

    @kernel
    def act(hyper, memory, params, task, state, rng):
        return first_that_does(task.does, act_in_part(hyper, memory, params, task, state, rng))

    @kernel
    def learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
        own = int(memory.does[action])
        for i in range(len(then)):
            memory.plain[i] = number_at(memory, then, i)
        if own >= 0:
            learn_in_part(hyper, memory, own, reward, terminated, truncated, memory.plain, rng)

    return type(name, (_Bound,), {"begin": begin, "act": act, "learn": learn, "__module__": __name__})


def _told(part: Variant, player: type[Player], lowest: np.ndarray, scale: np.ndarray) -> tuple[Callable, Callable, Callable]:
    """A player's three kernels in a part, whatever it observes; its memory is `memory.own`."""
    own_begin, own_act, own_learn, observe = player.begin, player.act, player.learn, part.kernel("observe")
    whole = part.observation.dtype.kind != "f"
    knows, index, params = player.observes == "world", _index_in(part, player), part.params

    @kernel
    def act_by_world(hyper, memory, params, task, state, rng):
        observe(params, task, state, memory.seen)
        return own_act(hyper, memory.own, params, task, state, rng)

    @kernel
    def act_by_sight(hyper, memory, params, task, state, rng):
        observe(params, task, state, memory.seen)
        return own_act(hyper, memory.own, index(params, memory.seen), rng)

    @kernel
    def begin_by_world(hyper, memory, params, task, rng):
        own_begin(hyper, memory.own, params, task, rng)

    @kernel
    def begin_by_sight(hyper, memory, params, task, rng):
        own_begin(hyper, memory.own, params, rng)

    @kernel
    def learn(hyper, memory, action, reward, terminated, truncated, plain, rng):
        for i in range(len(memory.then)):
            number = plain[i] / scale[i] + lowest[i]
            memory.then[i] = math.floor(number + 0.5) if whole else number
        before, after = index(params[0], memory.seen), index(params[0], memory.then)
        own_learn(hyper, memory.own, before, action, reward, terminated, truncated, after, rng)

    return (begin_by_world if knows else begin_by_sight), (act_by_world if knows else act_by_sight), learn


def _index_in(part: Variant, player: type[Player]) -> Callable:
    """What a player looks at, of an observation of the part: its index, or itself."""
    if player.observes == "state":
        assert part.state_index is not None, "else the player could not play there"
        return part.state_index

    @kernel
    def itself(params, seen):
        return seen

    return itself


# ------------------------------------------------------------------------------------------------- through the disguise
def _noting(disguise: str) -> Callable:
    """Return the kernel `note(memory, task)`, which keeps what brings an observation back."""
    if disguise == "projection":

        @kernel
        def note(memory, task):
            for j in range(len(task.projection)):
                for i in range(len(task.projection)):
                    memory.projection[j, i] = task.projection[j, i]

    elif hides_observations(disguise):

        @kernel
        def note(memory, task):
            for j in range(len(task.image)):
                memory.image[j] = task.image[j]

    else:

        @kernel
        def note(memory, task):
            """Nothing is disguised."""

    return note
