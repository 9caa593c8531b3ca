"""Players of a mixture, who play in each part as somebody plays in its own family: told the part and the disguise, or not."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np

from metarl_envs.engine import Oracle, Parameters, Player, Text, Variant, kernel, randint, record
from metarl_envs.engine.composing import led_to, of_each_part
from metarl_envs.engine.player import Internal, heuristics_of, references_of
from metarl_envs.engine.records import for_drivers
from metarl_envs.families.mixture.disguise import hides_observations, undoing
from metarl_envs.families.mixture.inferring import NEVER, PartInference, index_in, inference
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
def act_uniformly(hyper, memory, seen, rng):
    """Any of the part's actions, all alike."""
    return randint(rng, len(memory.actions))


class _Uniform(Player):
    """Any action of a family, all alike."""

    observes = "observation"
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


def first_heuristics(parts: Mapping[str, Variant]) -> dict[str, Player]:
    """Return the first heuristic of each part that looks at observations alone, or random play where there is none."""
    return {
        name: next((one for one in heuristics_of(part).values() if one.observes in ("state", "observation")), _Uniform())
        for name, part in parts.items()
    }


class WhichPartTold(PartPlayer):
    """Is told the part and the disguise, and plays the first of the part's heuristics; at random where the part has none.

    Nobody who must find out which part it is can play better without learning what pays: it is an upper bound.
    """

    def players(self, parts):
        """Return the first heuristic of each part."""
        return first_heuristics(parts)


@kernel
def tell_parts(hyper, memory, seen, action, out):
    """Write the probability of each part."""
    most = memory.evidence[0]
    for k in range(len(out)):
        most = max(most, memory.evidence[k])
    total = 0.0
    for k in range(len(out)):
        out[k] = math.exp(memory.evidence[k] - most) if most > NEVER else 1.0
        total += out[k]
    for k in range(len(out)):
        out[k] /= total


class WhichPartInferring(Player):
    """Is told nothing: finds out which part it is, and what actions do, and plays the first of that part's heuristics.

    It knows all parts (those that are held out too), how tasks are drawn in each, and how disguises are; parts are alike to it
    at first. In each step it plays for the likeliest part, and there for the likeliest disguise, the first of equal ones; where
    it needs an action that it has not found yet, it tries the first that it has not tried. In parts without a heuristic, and
    where nothing that it knows can have shown what it saw, it plays at random.

    How likely a part is: the chance of all that was seen and paid in the trial, summed over the part's tasks and over the
    orders in which actions may stand, exactly:

    * of a part whose tasks can be listed, and whose steps have no chance in them (rooms, T-mazes), each task is lived through;
    * of bandits, random MDPs and two-step rounds whose courses swap there is a closed form (`Family.condition`). Where a part
      pays one of a few amounts, and another pays any, with a density, seeing one of the few makes the first one sure;
    * of others nobody knows it: whatever can be seen there counts as alike, and a binary reward as a coin's.

    With disguise="observations" and "both" it sums over the places and signs of the part's numbers too, where there are at most
    128 ways to show them. Where there are more, and with disguise="projection", it sees only how long they are as a row, which
    no such disguise changes: rooms are followed by where moves would have led, a part that shows a single number is read, and
    one that shows several by chance is told by reward and length (its heuristic is shown the middle of what there is).

    At most 128 disguises of a part are followed at once; of large parts, with some thousand tasks, as few as 8. Where more are
    possible, the least likely are forgotten. In the sets of parts that have a name none is.

    As the internal `parts` it tells the probability of each part.
    """

    observes = "observation"
    internals: ClassVar[Mapping[str, Internal]] = {
        "parts": Internal(tell_parts, lambda p, variant: len(parts_at(variant.p).variants))
    }

    def bind(self, variant: Variant) -> Player:
        """Return it with the kernels of the variant's parts."""
        return _inferring(parts_at(variant.p), variant.p.disguise, variant.p.surplus)


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
    knows, index, params = player.observes == "world", index_in(part, player), part.params

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


# ------------------------------------------------------------------------------------------------- told nothing
class _Inferring(WhichPartInferring):
    """Who follows all parts, put together."""

    def __init__(self, parts: Mapping[str, PartInference], length: int):
        super().__init__()
        self._parts, self._length = parts, length
        hyper = np.zeros(1, record(**{name: part.hyper.dtype for name, part in parts.items()}))
        for name, part in parts.items():
            hyper[name] = part.hyper
        self.hyper = for_drivers(hyper)

    def bind(self, variant: Variant) -> Player:
        """Itself."""
        return self

    def memory(self, p: Any, variant: Variant) -> np.dtype:  # type: ignore[override]
        """Whether an episode begins, what was shown; of each part how likely it is, what it would do, and what is assumed."""
        count = len(self._parts)
        each = {"evidence": (np.float64, count), "actions": (np.int64, count)}
        assumed = {name: part.memory for name, part in self._parts.items()}
        return record(begins=np.int64, shown=(np.float32, self._length), **each, **assumed)

    def initial_memory(self, variant: Variant) -> np.ndarray:
        """Everything may be."""
        row = np.zeros(1, self.memory(self.p, variant))
        for name, part in self._parts.items():
            row[name] = part.initial
        return row


@functools.lru_cache(maxsize=64)
def _inferring(parts: Parts, disguise: str, surplus: str) -> _Inferring:
    players = first_heuristics(parts.by_name)
    own = {
        name: inference(parts, number, disguise, surplus, player.bind(parts.by_name[name]))
        for number, (name, player) in enumerate(players.items())
    }
    kind = type(WhichPartInferring.__name__, (_Inferring,), {**_kernels_of(own, parts), "__module__": __name__})
    return kind(own, parts.length)


def _kernels_of(own: Mapping[str, PartInference], parts: Parts) -> dict[str, Callable]:
    """The kernels `begin`, `act` and `learn`, which call those of each part."""
    rows, actions = ("hyper", "memory"), parts.actions
    seen = *rows, "action", "reward", "terminated", "truncated", "before", "shown", "rng"
    begin_each = of_each_part({name: one.begin for name, one in own.items()}, "begin", (*rows, "params", "rng"))
    start_each = of_each_part({name: one.start for name, one in own.items()}, "start", seen)
    step_each = of_each_part({name: one.step for name, one in own.items()}, "step", seen)
    choose_each = of_each_part({name: one.choose for name, one in own.items()}, "choose", (*rows, "evidence", "actions", "rng"))

    @kernel
    def begin(hyper, memory, params, rng):
        memory.begins = 1
        begin_each(hyper, memory, params, rng)

    @kernel
    def act(hyper, memory, seen, rng):
        if memory.begins:
            memory.begins = 0
            start_each(hyper, memory, 0, 0.0, False, False, seen, seen, rng)
        for j in range(len(seen)):
            memory.shown[j] = seen[j]
        choose_each(hyper, memory, memory.evidence, memory.actions, rng)
        best = 0
        for k in range(len(memory.evidence)):
            if memory.evidence[k] > memory.evidence[best]:
                best = k
        return memory.actions[best] if memory.evidence[best] > NEVER else randint(rng, actions)

    @kernel
    def learn(hyper, memory, seen, action, reward, terminated, truncated, then, rng):
        step_each(hyper, memory, int(action), float(reward), bool(terminated), bool(truncated), memory.shown, then, rng)
        memory.begins = 1 if terminated or truncated else 0

    return {"begin": begin, "act": act, "learn": learn}
