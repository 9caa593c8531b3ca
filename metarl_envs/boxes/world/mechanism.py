"""What a mechanism is: a part of a box in one file. Boxes are the core (`world.core`) and mechanisms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from metarl_envs.boxes.world.verbs import Table
from metarl_envs.engine.parameters import Parameter


@dataclass(frozen=True, eq=False)
class Numbers:
    """What an agent sees of a mechanism, beside what it sees of the core (see `view.numbers`).

    All are kernels. `planes` and `count` say how much room there is, and the others write there: planes of one number an item,
    and numbers of its own. `plane` and `at` are where they begin in `view`, all of whose numbers are 0 at first.

    Attributes:
        count: `count(params)`: how many numbers of its own.
        show: `show(params, state, i, view, plane, at)`: write what agent i sees.
        show_again: the same, one step later, over what was seen before [default: `show`].
        strike: `strike(params, state, i, view, plane, at)`: before that, empty what `show_again` does not write over.
        planes: `planes(params)`: how many numbers of each item [default: none].
        changed: `changed(params, state, i)`: an item that agent i got or lost by this mechanism in this step; NOTHING if none.
    """

    count: Callable
    show: Callable
    show_again: Callable | None = None
    strike: Callable | None = None
    planes: Callable | None = None
    changed: Callable | None = None


@dataclass(frozen=True, eq=False)
class Mechanism:
    """A part of a box: what it adds to parameters, state, actions, steps, and to what is seen.

    A box has the mechanisms whose parameters it has. Hooks are kernels; what is None is not there.

    Attributes:
        parameters: by name, as constructors of families take them.
        fields: the fields of the state, under parameters `p`.
        used: whether it does anything under parameters `p`; where not, none of it is compiled (its verbs have no actions then,
            and its numbers are 0). It should follow from little more than what the layout of rows follows from, since boxes of
            one layout share what is compiled where they also use the same mechanisms and verbs.
        error: why parameters do not go together, or None.
        verbs: what agents can do.
        open: `open(params, task, state, rng)`: the box begins; fields are as the last box left them.
        before_step: the same, before anybody acts.
        settle: `settle(params, task, state, rng)`: after all have acted, before they are paid.
        share: `share(params, task, state, rng)`: after all have acted and were paid, before time moves on.
        after_step: the same, after time has moved on. It may raise `state.forgot[i]`: then agent i loses all that it has.
        forget: `forget(params, state, i)`: agent i loses what it has here, at a dawn and at the beginning.
        birth: `birth(params, state, i, rng)`: agent i has died, and another begins in its place (see `world.lives`): it loses
            what the dead had here that `forget` leaves.
        able: `able(params, state, i)`: whether agent i can do anything but wait. [default: always]
        chance: `chance(params, state, i)`: with what chance a right pair makes its product when agent i combines it; of several
            mechanisms, the product. [default: it always does]
        due: `due(params, state, i, item)`: what share of its worth agent i is paid for having newly made an item; of several
            mechanisms, the product. [default: all of it]
        credit: `credit(params, state, i)`: what agent i is paid in this step beside; of several, the sum. [default: nothing]
        anew: `anew(params, state, i)`: whether agent i must look at everything anew, because what it holds or may do changed in
            this step by more than its own experiments and what was made. [default: never]
        seen: what an agent sees of it.
        rules: `rules(p)`: what there is to know of it, in sentences, for people and language models alike; "" for nothing.
        told: `told(p, state, i)`: what agent i is told of it in words now, a list of lines (`state` has fields as attributes):
            no more than it sees.
    """

    parameters: dict[str, Parameter]
    fields: Callable[[SimpleNamespace], dict[str, Any]] = field(default=lambda p: {})
    used: Callable[[SimpleNamespace], bool] = field(default=lambda p: True)
    error: Callable[[SimpleNamespace], str | None] = field(default=lambda p: None)
    verbs: Table = ()
    open: Callable | None = None
    before_step: Callable | None = None
    settle: Callable | None = None
    share: Callable | None = None
    after_step: Callable | None = None
    forget: Callable | None = None
    birth: Callable | None = None
    able: Callable | None = None
    chance: Callable | None = None
    due: Callable | None = None
    credit: Callable | None = None
    anew: Callable | None = None
    seen: Numbers | None = None
    rules: Callable[[SimpleNamespace], str] | None = None
    told: Callable[[SimpleNamespace, Any, int], list[str]] | None = None
