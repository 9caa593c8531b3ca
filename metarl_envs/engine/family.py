"""What a family declares, and what follows once its parameters are set."""

from __future__ import annotations

import functools
import importlib
import inspect
import weakref
from collections.abc import Callable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeGuard

import gymnasium as gym
import numpy as np

from metarl_envs.engine.action_form import ActionForm
from metarl_envs.engine.compiling.kernels import kernel, plain
from metarl_envs.engine.observation_form import ObservationForm, size_of
from metarl_envs.engine.parameters import RESERVED, Parameters
from metarl_envs.engine.records import Row, fields_of, for_drivers, record
from metarl_envs.engine.sentences import Sentences, sentences_of
from metarl_envs.engine.splits import Split
from metarl_envs.engine.streams import STREAM
from metarl_envs.engine.uniform_tasks import UniformTasks

if TYPE_CHECKING:
    from metarl_envs.engine.canvas import Picture

#: What rows must be to be tasks: a field, where it is wrong (bool [task, ...]), and what is wrong. See `Family.task_errors`.
TaskErrors = Iterator[tuple[str, np.ndarray, str]]
#: Keyboard controls: key -> (action, label). The action may be a function of the state; None then means no step.
Keys = Mapping[str, tuple[int | Callable[[Row], int | None], str]]
#: What is said of a family beside its kernels, and which of them it follows from.
_FOLLOWS_FROM = {
    "binary_reward": {"step"},
    "memoryless_best": {"sample_task", "reset", "step", "observe"},
    "solve": {"reset", "step"},
    "returns": {"reset", "step"},
    "starts": {"reset"},
    "prior": {"sample_task", "reset", "step", "observe"},
    "statistics": {"sample_task", "reset", "step", "observe"},
    "condition": {"reset", "step", "observe"},
    "update_posterior": {"reset", "step", "observe"},
    "all_tasks": {"sample_task"},
    "in_every_part": {"sample_task"},
    "exchangeable_actions": {"sample_task", "step"},
    "feedback": {"observe"},
    "feedback_range": {"step", "observe"},
    "heuristics": {"references"},
}
#: What a family cannot be without.
_NEEDED = ("params", "task", "state", "sample_task", "reset", "step", "observe")


class Returns(NamedTuple):
    """Exact expected returns of one episode on one task; NaN for one that has no formula."""

    random: float
    oracle: float


class TaskOfPart(NamedTuple):
    """A task of a family that is made of others, as one who is told everything sees it: as a task of a part.

    Attributes:
        name: of the part.
        task: the part's own task row, as an array without dimensions.
        action: what an action does in the part: one of its own actions; None where it does nothing.
        observation: what is seen in the part where this observation is shown.
    """

    name: str
    task: np.ndarray
    action: Callable[[int], int | None]
    observation: Callable[[np.ndarray], np.ndarray]


class ByParameters(NamedTuple):
    """A kernel that depends on parameters: `choose(p)` gives it, for equal choices the same one.

    What a variant never does is then not compiled for it.
    """

    choose: Callable[[SimpleNamespace], Any]


class Family:
    """A registered environment with hidden parameters: records, spaces, and a few kernels.

    Subclass it in one file, and give the id one row in `metarl_envs.ids`. The class docstring is the family's
    reference page; `metarl_envs.testing.check_family` says which headings it needs and checks what can be checked.

    A kernel is bound by name (or chosen by the parameters, see `ByParameters`). What each is given (all rows are passed by
    reference):

    * `sample_task(params, task, rng)` writes a task drawn from the family's distribution into `task`.
    * `reset(params, task, state, rng)` writes the first state of an episode.
    * `step(params, task, state, action, rng)` moves `state` on and returns `(reward, terminated)`.
    * `observe(params, task, state, obs)` writes what the agent sees into the array `obs`; with a Dict space `obs` is a row,
      whose fields are its keys: `obs.image[i, j] = 1`.
    * `state_index(params, obs)`, for tabular learners, where observations are few: the index of one, from 0 to
      `num_states(p) - 1`. A `Discrete` observation has its own.
    * `state_index_in_task(params, task, obs)` instead, where it depends on the task which of few observations one is (in a
      mixture on the part). Tabular learners then know as much of the task as that tells.
    * `task_hash(params, task)`, if the bytes of a task are not what it means: a hash of that, as 64 unsigned bits. Equal tasks
      have equal hashes, and the hash says whether it is a train, a validation or a test task (see `splits.part_of`).
    * `in_every_part(params, task)`, if single tasks hold much of the distribution (one in five hundred, say): whether this is
      such a task. It is drawn in each part as often as in all tasks, where by its hash it would be in one part alone.
    * `condition(params, belief, seen, action, reward, then)`, if what is unknown of the task has a posterior in closed form and
      episodes never terminate: takes account of a step in the row `belief` (see `statistics`), and returns the logarithm of how
      likely reward and observation were by what it held before: of their chance, or where rewards are real numbers
      (`binary_reward` is not set) of the reward's density; -inf where they cannot be. `condition_anew(params, belief)`, if
      something there has to be put back when an episode begins.

    Horizons, trials and autoreset are the engine's business. `horizon` is a parameter of every family.

    A subclass that binds another kernel does not inherit what followed from the old one: with another `step`, neither
    `binary_reward` nor exact values and posteriors; with another `sample_task`, not the list of all tasks. Where they still
    hold, the subclass says so: `solve = Parent.solve`. (References are policies, which are played, so they stay. Which of them
    are heuristics is to be said again with other `references`.)
    """

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        own = vars(cls)
        if isinstance(uniform := own.get("task"), UniformTasks):
            cls.task = uniform.record
            said: dict[str, Any] = {"sample_task": uniform.sample_task}
            said |= {"all_tasks": staticmethod(uniform.all_tasks), "task_errors": staticmethod(uniform.task_errors)}
            for name in said.keys() - own.keys():
                setattr(cls, name, said[name])
        for name, kernels in _FOLLOWS_FROM.items():
            if kernels & own.keys() and name not in own and getattr(cls, name) is not getattr(Family, name):
                setattr(cls, name, vars(Family)[name])

    #: Constructor parameters. Kernels see them as fields of the row `params`.
    params: ClassVar[Parameters]
    #: The row that holds a task, or a function from parameters to it; or `UniformTasks`, which draws and lists them too.
    task: ClassVar[np.dtype | Callable[[SimpleNamespace], np.dtype] | UniformTasks]
    #: The row that holds a state, or a function from parameters to it.
    state: ClassVar[np.dtype | Callable[[SimpleNamespace], np.dtype]]

    sample_task: ClassVar[Callable | ByParameters]
    reset: ClassVar[Callable | ByParameters]
    step: ClassVar[Callable | ByParameters]
    observe: ClassVar[Callable | ByParameters]
    state_index: ClassVar[Callable | None] = None
    state_index_in_task: ClassVar[Callable | ByParameters | None] = None
    task_hash: ClassVar[Callable | ByParameters | None] = None
    in_every_part: ClassVar[Callable | ByParameters | None] = None
    condition: ClassVar[Callable | None] = None
    condition_anew: ClassVar[Callable | None] = None

    #: Named shifts of the task distribution: what each changes in the parameters. They leave the spaces as they are, and which
    #: tasks are train, validation and test tasks.
    shifts: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: References of the family's own, by name, as `Player`s. `oracle` may read the task. `random` stands in for random play,
    #: the zero of the scale, where actions drawn from all there are would say nothing: predictions, say.
    references: ClassVar[Mapping[str, Any]] = {}
    #: Which of them are heuristics: they know what tasks are like and search or recall, and improve nothing by reward.
    heuristics: ClassVar[tuple[str, ...]] = ()
    #: The first observation of a trial may tell the task (a cue to be remembered); in no other family does it.
    reveals_task_at_start: ClassVar[bool] = False
    #: For people who play: by key (as pygame names it) a Discrete action and what it is called, or a function from parameters
    #: to such keys. Digits where empty. An action may be a function of the state, whose None is no step; a key without a name
    #: is left out below the picture (which should show it). A static method `click_action(p, state, x, y)` says what a click
    #: means.
    keys: ClassVar[Keys | Callable[[SimpleNamespace], Keys]] = {}
    #: What an action is called that has no name among the keys: `arm` makes them `arm 0`, `arm 1` and so on.
    action_noun: ClassVar[str] = "action"
    #: The words of an observation tell what the last step did and paid, so that nothing is put before them.
    words_tell_outcome: ClassVar[bool] = False
    #: For people who play: the world moves on while nobody acts.
    realtime: ClassVar[bool] = False
    #: Every reward is 0 or 1 (learners that count wins need that).
    binary_reward: ClassVar[bool] = False
    #: Discrete actions are alike but for what the task says of each: in another order they are another task, as likely as this.
    exchangeable_actions: ClassVar[bool] = False
    #: Episodes that are lived on each task to find what a reference earns there, where there is no formula.
    reference_episodes: ClassVar[int] = 2000
    #: What one point of a learning curve is: an episode, or a block of this many steps for families of one long episode.
    curve_unit: ClassVar[str] = "episode"

    @staticmethod
    def spaces(p: SimpleNamespace) -> tuple[gym.Space, gym.Space]:
        """Return the observation and action spaces under parameters `p`."""
        raise NotImplementedError

    @staticmethod
    def more_references(p: SimpleNamespace) -> Mapping[str, Any]:
        """Return references beside `references`, by name, where it depends on the parameters which there are."""
        return {}

    @staticmethod
    def seats(p: SimpleNamespace) -> int:
        """Return how many players act at once: one, but in boxes, where the first axis of actions is that of the seats."""
        return 1

    @staticmethod
    def num_states(p: SimpleNamespace) -> int | None:
        """Return how many observations there are, where `state_index` numbers them; None: as many as their space has.

        To be written only where that is not so, or where the space has no number (see `Variant.num_states`).
        """
        return None

    @staticmethod
    def features(p: SimpleNamespace) -> np.ndarray | None:
        """Return what is known of each Discrete action in every task, float64 [action, dimension]; None where nothing is."""
        return None

    @staticmethod
    def all_tasks(p: SimpleNamespace, dtype: np.dtype) -> np.ndarray | None:
        """Return every task there is, where their number is finite and small; None where it is not."""
        return None

    @staticmethod
    def pool(p: SimpleNamespace) -> tuple[int, int] | None:
        """Return how many different tasks the train split is to have, and the seed that draws them; None: all there are."""
        return None

    @staticmethod
    def parameter_error(p: SimpleNamespace) -> str | None:
        """Why parameters, each in its range, do not go together; None where they do."""
        return None

    @staticmethod
    def task_errors(p: SimpleNamespace, tasks: np.ndarray) -> TaskErrors:
        """Yield what rows must be to be tasks of the family, as `(field, wrong, why)`: where they are not, and what is wrong.

        Every row that comes from outside is seen by it before a kernel is: one given by hand, and a million out of a file. So
        what kernels use as an index must be checked here, and checked with arrays: `tasks[field]` has shape [task, ...].

            yield "goal", (tasks["goal"] >= p.size).any(axis=1), f"lies outside of the room of size={p.size}"

        `wrong` is bool, of shape [task], or [task, ...] with the leading axes of the field: the first element or piece that is
        wrong is shown in the error, "goal=[9, 3] lies outside of the room of size=9". What comes after a `yield` runs on rows
        that have nothing of the kind only.
        """
        yield from ()

    @staticmethod
    def memory_reset_at(p: SimpleNamespace) -> int | str | None:
        """Return which number of an observation is 1 where its agent must begin anew, with no memory of what was before.

        In a Dict, the key of that number.

        None in families whose agents never forget within an episode. In others it is told as `info["memory_reset"]` too.
        """
        return None

    @staticmethod
    def feedback(p: SimpleNamespace) -> tuple[int, ...] | None:
        """Return the places, in an observation, of the numbers that agents learn from; None where it is the reward.

        Controls that hide feedback, swap it or reflect it act on those numbers then (see `metarl_wrappers.HideReward`).
        """
        return None

    @classmethod
    def feedback_range(cls, p: SimpleNamespace) -> tuple[float, float] | None:
        """Return the lowest and the highest feedback, between which a control may reflect it; None where there is no range."""
        return (0.0, 1.0) if cls.binary_reward else None

    @classmethod
    def instructions(cls, p: SimpleNamespace) -> str:
        """What there is to do, for people and language models alike. Where a family says nothing: the head of its docstring."""
        return " ".join((inspect.getdoc(cls) or cls.__name__).partition("\n\n")[0].split())

    @classmethod
    def short_instructions(cls, p: SimpleNamespace) -> str:
        """What there is to do, in two lines of the window [default: `instructions`]: the picture may show the rest."""
        return cls.instructions(p)

    @staticmethod
    def words(p: SimpleNamespace, seen: Any) -> str:
        """What an observation says, in words. Nothing else is to be had here, so no words can tell what is hidden."""
        parts = seen.items() if isinstance(seen, Mapping) else [("observation", seen)]
        return ", ".join(f"{name} {np.array2string(np.asarray(part), separator=', ')}" for name, part in parts)

    @classmethod
    def words_in(cls, p: SimpleNamespace, state: np.void, task: np.ndarray, seen: Any) -> str:
        """What whoever acts is told, in words: `words`. Only boxes need more to say it: the names that things have in them."""
        return cls.words(p, seen)

    @classmethod
    def sentences_in(cls, p: SimpleNamespace, state: np.void) -> Sentences:
        """The sentences for actions. Only in boxes do they follow from the state: from names, and what is in the hand."""
        variant = cls.with_params(**vars(p))
        return sentences_of(variant.action_space, variant.action_names)

    @staticmethod
    def curve_unit_length(p: SimpleNamespace) -> int:
        """Steps in a block of the learning curve, where `curve_unit` is not an episode."""
        return 0

    @staticmethod
    def solve(p: SimpleNamespace, task: Row) -> Callable[[Row, int], np.ndarray] | None:
        """Q*(state, step): the value of each action, for families whose steps draw random numbers.

        The engine solves families of few states without chance by itself.
        """
        return None

    @staticmethod
    def starts(p: SimpleNamespace, task: Row, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray] | None:
        """Return every state that an episode can start in, as rows of `dtype`, and the chance of each, float64; None: not told.

        For families whose `reset` draws one of a few states: the engine cannot see which there are, and solves the family from
        all of them. Where `reset` draws no random numbers it is not asked.
        """
        return None

    @staticmethod
    def prior(p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Return the parameters of the prior, where the posterior has a closed form.

        The engine finds the posterior by itself for families of a finite list of tasks and steps without chance.
        """
        return None

    @classmethod
    def update_posterior(
        cls, p: SimpleNamespace, belief: dict[str, np.ndarray], seen: np.ndarray, action: int, reward: float, then: np.ndarray
    ) -> None:
        """Update the parameters that `prior` gave, in place, for one transition between observations: as `condition` does."""
        if cls.condition is not None:
            plain(cls.condition)(p, SimpleNamespace(**belief), seen, action, reward, then)

    @classmethod
    def statistics(cls, p: SimpleNamespace) -> dict[str, np.ndarray] | None:
        """Return the fields of the row `belief` of `condition` before anything was seen; None where there is no closed form.

        By default the parameters of the prior.
        """
        return cls.prior(p) if cls.condition is not None else None

    @staticmethod
    def expected_rewards(p: SimpleNamespace, belief: dict[str, np.ndarray]) -> np.ndarray | None:
        """Return what each action of a bandit pays in the mean by a posterior, float64 [action]; None for other families."""
        return None

    @staticmethod
    def parts_told(p: SimpleNamespace) -> Mapping[str, Variant]:
        """Return the parts of a family whose tasks are those of others, by name: its ground truth is the part's."""
        return {}

    @staticmethod
    def task_of_part(p: SimpleNamespace, task: Row) -> TaskOfPart:
        """Return a task as that of the part that it belongs to, in a family that tells its parts."""
        raise NotImplementedError("a family with parts_told must say which part a task is of: write task_of_part(p, task)")

    @staticmethod
    def returns(p: SimpleNamespace, task: Row) -> Returns | None:
        """Return the exact expected return of an episode for the random policy and the oracle, where a formula exists.

        The engine finds it by itself for families of few states without chance.
        """
        return None

    @staticmethod
    def memoryless_best(p: SimpleNamespace, task: Row) -> float | None:
        """Return the expected return of an episode on a task for the best policy without memory; None where it is not known.

        It is one policy for all tasks: one that is best in the mean over the whole distribution under `p`, of which splits are
        parts. (A shift is another distribution, with a best policy of its own.) It need not be good on this task. Where several
        are best, the docstring says which it is; where random play is one of them, it is random play.
        """
        return None

    @staticmethod
    def draw(picture: Picture, p: SimpleNamespace, state: Row, task: Row | None) -> None:
        """Draw the world. `task` is None unless the hidden task is to be revealed."""
        raise NotImplementedError("this family draws no picture: write its static method draw(picture, p, state, task)")

    @staticmethod
    def describe(p: SimpleNamespace, state: Row, task: Row | None) -> str:
        """Return the world as text, by default the fields of its rows. `task` is None unless the hidden task may be shown."""
        return "\n".join(
            f"{name} {value}" for row in (state, task) if row is not None for name, value in fields_of(row).items()
        )

    @classmethod
    def with_params(cls, **params: Any) -> Variant:
        """Return the family with its parameters set; TypeError or ValueError where one, or the family, is not as it must be."""
        if problem := _declaration_error(cls):
            raise TypeError(problem)
        return _variant(cls, tuple(cls.params.resolve(params, cls.__name__).items()))

    @classmethod
    def shifted(cls, split: Any, params: Mapping[str, Any]) -> tuple[Variant, Split]:
        """Return the family at `params`, as a split of this name wants it, and the split.

        Raises:
            ValueError: there is no such split, or a shift sets a parameter that was given too.
        """
        found = Split.read(split, cls.__name__, cls.shifts)
        change = cls._changed_by(found)
        given = cls.params.expanded(params) if change else params
        if both := sorted(set(change) & set(given)):
            raise ValueError(f"{both[0]}={given[both[0]]!r} cannot be given with split={split!r}, which sets it itself")
        return cls.with_params(**{**params, **change}), found

    @classmethod
    def unshifted(cls, split: Any, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of `values` that can be given beside a split of this name: the parameters that no shift in it sets."""
        change = cls._changed_by(Split.read(split, cls.__name__, cls.shifts))
        return {name: value for name, value in values.items() if name not in change}

    @classmethod
    def _changed_by(cls, split: Split) -> dict[str, Any]:
        """What the shifts of a split set."""
        return {parameter: value for name in split.shifts for parameter, value in cls.shifts[name].items()}


def _declaration_error(family: type[Family]) -> str | None:
    """What a family lacks, or None."""
    missing = [name for name in _NEEDED if not hasattr(family, name)]
    if family.spaces is Family.spaces:
        missing.append("spaces")
    if missing:
        return f"family {family.__name__} lacks {', '.join(missing)}: the docstring of metarl_envs.Family says what each is"
    if "horizon" not in family.params.parameters:
        return (
            f"family {family.__name__} lacks the parameter `horizon`, the steps after which an episode is truncated: "
            "params = Parameters(..., horizon=Integer(100, 1))"
        )
    if taken := sorted(RESERVED & set(family.params.parameters)):
        return (
            f"family {family.__name__} has a parameter named {taken[0]!r}, which no call could reach: an argument of "
            f"gymnasium.make, tasks, evaluate or collect has that name. Reserved names: {', '.join(sorted(RESERVED))}"
        )
    for name, reference in family.references.items():
        if isinstance(reference, type):
            return f"reference {name!r} of {family.__name__} is a class: write {reference.__name__}()"
    return None


def oracle_error(variant: Variant, returns: Returns | None) -> str | None:
    """Why nobody knows what can be earned on a task with these exact returns, or None where it is known."""
    if "oracle" not in variant.family.references and (returns is None or np.isnan(returns.oracle)):
        return (
            f"{variant.name} has no reference 'oracle', and its returns have no formula, so that nothing is known to be the "
            "most that can be earned: write references = {'oracle': YourOracle()}, or the method `returns`"
        )
    return None


#: Every variant that somebody holds: what is no longer among the latest is the same one still.
_HELD: weakref.WeakValueDictionary[tuple, Variant] = weakref.WeakValueDictionary()


@functools.lru_cache(maxsize=256)  # the latest live on though nobody holds them, and with them their drivers
def _variant(family: type[Family], values: tuple[tuple[str, Any], ...]) -> Variant:
    if (held := _HELD.get((family, values))) is not None:
        return held
    variant = Variant(family, dict(values))
    if problem := family.parameter_error(variant.p):
        raise ValueError(f"{family.__name__}: {problem}")
    return _HELD.setdefault((family, values), variant)


class Variant:
    """A family with its parameters set: row layouts, spaces, and drivers.

    Attributes:
        p: the parameters by name, as Python values (what constructor arguments look like).
        params: one row holding them, as kernels see them.
        task: the dtype of a task row.
        state: the dtype of a state row.
        world: the dtype of a world row: stream, clock, the index of its task, and the state.
    """

    def __init__(self, family: type[Family], values: dict[str, Any]):
        self.family = family
        self.values = values
        self.p = SimpleNamespace(**values)
        self.params = family.params.row(values)
        declared = family.task
        assert not isinstance(declared, UniformTasks)  # whose record is in its place
        self.task = declared if isinstance(declared, np.dtype) else declared(self.p)
        self.state = family.state if isinstance(family.state, np.dtype) else family.state(self.p)
        self.world = record(
            seed=np.uint64,
            rng=STREAM,
            trial=np.int64,
            episode=np.int32,
            t=np.int32,
            task=np.uint32,
            over=np.uint8,
            state=self.state,
        )
        self.observation_space, self.action_space = family.spaces(self.p)
        self.observation, self.action = ObservationForm.of(self.observation_space), ActionForm.of(self.action_space)

    @property
    def name(self) -> str:
        """The family's name."""
        return self.family.__name__

    @property
    def actions(self) -> int:
        """How many Discrete actions there are; TypeError for another kind of action space."""
        if not isinstance(self.action_space, gym.spaces.Discrete):
            raise TypeError(f"{self.name} has no number of actions: its action space is {self.action_space}")
        return int(self.action_space.n)

    @functools.cached_property
    def action_names(self) -> tuple[str, ...]:
        """The names of Discrete actions: as their keys are called, else `Family.action_noun` and number; () for others."""
        if not isinstance(self.action_space, gym.spaces.Discrete):
            return ()
        keys = self.family.keys(self.p) if callable(self.family.keys) else self.family.keys
        named = {action: name for action, name in keys.values() if name and not callable(action)}
        return tuple(named.get(action, f"{self.family.action_noun} {action}") for action in range(self.actions))

    @property
    def horizon(self) -> int:
        """Steps after which an episode is truncated."""
        return self.p.horizon

    @functools.cached_property
    def state_index(self) -> Callable | None:
        """The kernel that numbers observations: the family's, or for a Discrete space its own number; None without either."""
        if self.family.state_index is None and isinstance(self.observation_space, gym.spaces.Discrete):
            return first_number if self.observation_space.start == 0 else None
        return self.family.state_index

    @functools.cached_property
    def num_states(self) -> int | None:
        """How many observations there are, as the family says or their space has; None where they are not numbered."""
        if self.state_index is None and self.family.state_index_in_task is None:
            return None
        given = self.family.num_states(self.p)
        return size_of(self.observation_space) if given is None else given

    @functools.cached_property
    def memory_reset_at(self) -> int | str | None:
        """See `Family.memory_reset_at`."""
        return self.family.memory_reset_at(self.p)

    def split(self, name: Any) -> Split:
        """Return the split of a name, to which tasks of this variant may belong: what its shifts set is set.

        Raises:
            ValueError: there is no such split, or the parameters are others than those of its shifts.
        """
        found = Split.read(name, self.name, self.family.shifts)
        change = self.family._changed_by(found)
        if self.family.with_params(**{**self.values, **change}).values != self.values:
            raise ValueError(f"split={name!r} of {self.name} has {change}, and the tasks are of {self}")
        return found

    def kernel(self, name: str) -> Callable:
        """Return the kernel that the family binds to a name."""
        bound = getattr(self.family, name)
        return bound.choose(self.p) if isinstance(bound, ByParameters) else bound

    def observations(self, count: int, observed: bool = True) -> np.ndarray:
        """Uninitialised observations of `count` worlds as kernels write them (see `ObservationForm`).

        Those of worlds that are not `observed` have one element that means nothing.
        """
        return self.observation.empty(count) if observed else for_drivers(np.empty((count, 1), np.uint8))

    def visible(self, observations: np.ndarray) -> Any:
        """Return the same memory, as the batched observation space has it: an array, or for a Dict space one for each key."""
        return self.observation.visible(observations)

    def memoryless_best(self, task: np.void | np.ndarray) -> float | None:
        """Return what the best policy without history is expected to earn on a task row; None where it is not known."""
        return self.family.memoryless_best(self.p, Row(np.asarray(task).reshape(())))

    def __reduce__(self) -> tuple:
        """A variant is one thing in a process, copied or not: drivers are kept by it."""
        return _variant, (self.family, tuple(self.values.items()))

    def __repr__(self) -> str:
        return f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"


@kernel
def first_number(params, obs):
    """The index of a Discrete observation: itself."""
    return obs[0]


def load_family(path: str) -> type[Family]:
    """Return the family class that a string names, such as `metarl_envs.families.grids.dark_room:DarkRoom`.

    Raises:
        ImportError: there is no such module.
        ValueError: the module has no such class, or it is no family.
    """
    module, _, name = path.partition(":")
    imported = importlib.import_module(module)
    outer, *inner = name.split(".")
    family = getattr(imported, outer, None)
    for part in inner:  # of a class within classes; nothing is run to find it
        family = vars(family).get(part) if isinstance(family, type) else None
    if _is_family(family):
        return family
    if family is not None:
        raise ValueError(f"{path!r} is no family: {name} in {module} is {family!r}, no subclass of metarl_envs.Family")
    there = ", ".join(key for key, value in vars(imported).items() if _is_family(value) and value is not Family)
    raise ValueError(f"{path!r} is no family: {module} has no {name!r}; there are: {there or 'none'}")


def _is_family(value: Any) -> TypeGuard[type[Family]]:
    return isinstance(value, type) and issubclass(value, Family)
