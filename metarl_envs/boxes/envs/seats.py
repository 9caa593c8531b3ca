"""The seats of boxes that have an id, each with its page."""

from __future__ import annotations

from types import SimpleNamespace

from metarl_envs.boxes.envs.seat import COMPANIONS, EXPERIMENTERS, MIXED, SCIENTISTS, Company, Seat
from metarl_envs.boxes.players.hazardous import make_the_best_by_force
from metarl_envs.boxes.players.scripted import make_the_best
from metarl_envs.boxes.scenarios.amnesia import AmnesiaBox
from metarl_envs.boxes.scenarios.box import Box
from metarl_envs.boxes.scenarios.generations import GenerationsBox
from metarl_envs.boxes.scenarios.hazard import HazardBox
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.scenarios.sealed import SealedBox
from metarl_envs.boxes.world.claims import CLAIM, CONSEQUENTIALIST, MIX, SEEMS_RIGHT, is_claim
from metarl_envs.boxes.world.mechanisms import begins_in, mechanisms_of
from metarl_envs.boxes.world.notes import MADE, place_to_write
from metarl_envs.boxes.world.tree import NOTHING, items_in
from metarl_envs.engine import Choice, Oracle, Parameters, kernel


def seated(box: type[Box], company: Company | None = None) -> Parameters:
    """The parameters of a box, with its defaults and presets, and who the companions are: greedy, or of a mixed company."""
    if company is None:
        return Parameters(**box.params.parameters, companions=Choice("greedy", COMPANIONS))
    return Parameters(**box.params.parameters, companions=Choice(MIXED, (*COMPANIONS, *company.manners, MIXED)))


class InventionSeat(Seat):
    """A seat in a group that finds out what can be made from what, with greedy companions in the other seats.

    Two things are combined; few pairs make something, which may be combined in turn. What companions make is seen and copied.
    It is agent 0 of an `InventionBox`, with the parameters of the box.

    Hidden:
        The recipes: for each item, the pair that makes it. Items above the bases: 2 lineages x 20 levels x 4; the trees are
        endless. An item of level d is made of one of level d - 1 and any older one, mostly a recent one, of its own lineage; in
        every sixth level the second is of the other lineage.

    Reward:
        The level of what agent 0 makes and did not hold; nothing for what it copies, nor for a thing made twice.

    Episode:
        Starts with the bases of all lineages. Truncated after `horizon` steps; never terminates. The recipes stay for the
        trial.

    Splits:
        train and test (about four tasks to one) share no recipe: the places, within their levels, of ingredients and product
        add up to an even number in train trees and to an odd one in test trees. validation: one in five of the train trees,
        which are other trees, of the same pairs. Shifts: `deeper` (forty levels of two items),
        `noisy` (one failed experiment in ten seems to work), `alone` (the companions wait).

    References:
        Return of an episode, the mean of 1,000 boxes (seeds 0 to 999) and its standard error, companions greedy. Random play
        0.79 +- 0.04 (`make_vec`, `action_space.seed(0)`). Agents of `boxes.run("InventionBox", {0: name, "others": "greedy"},
        boxes=1000)`, which do only what the mask allows: `random` 6.67 +- 0.11, `never_repeat` 10.21 +- 0.13, `greedy` 8.59 +-
        0.17, `oracle` 1663.86 +- 0.39. With `preset="short"` 5.12 +- 0.10, 7.23 +- 0.11, 5.44 +- 0.13 and 1561.05 +- 1.07. What
        companions make first pays agent 0 nothing. The oracle makes what pays most of all that can be made now, which is
        strong, and not proved to be the best.

    Source and variants:
        Little Alchemy and WordCraft (Jiang et al. 2020, arXiv 2006.15762) ask for the same search, with recipes that a language
        model knows. Groups and topologies: SAPIENS (Nisioti et al. 2022, arXiv 2206.05060), after Derex & Boyd 2016 (PNAS
        113:2982), who find that partly connected groups merge paths best. There, all agents learn; here one does. All
        seats at once: `metarl_envs.boxes`.
    """

    box = InventionBox
    params = seated(InventionBox)
    shifts = {
        "deeper": {"levels": 40, "width": 2},
        "noisy": {"illusions": 0.1},
        "alone": {"companions": "waiting"},
    }


class AmnesiaSeat(Seat):
    """Alone in a box, forgetting everything each day but sixteen notes.

    Two things are combined; few pairs make something. Each dawn all that was made is lost, and whoever keeps to the rules
    forgets with it (`forgot`); what is written stays, and pays the next day. It is agent 0 of an `AmnesiaBox`, with the
    parameters of the box.

    Hidden:
        The recipes: for each of the 240 items above the 12 bases (30 levels x 8), the six pairs that make it; the trees are
        endless. An item of level d is made of one of level d - 1 and any older one, mostly a recent one.

    Reward:
        The level of what agent 0 makes and does not hold. What was lost at dawn can be made again, and pays again.

    Episode:
        Starts with the bases and an empty notebook. A day has `day` steps; the recipes stay. Truncated after `horizon` steps
        (25 days); never terminates.

    Splits:
        train and test (about four tasks to one) share no recipe: the places, within their levels, of ingredients and product
        add up to an even number in train trees and to an odd one in test trees. validation: one in five of the train trees,
        which are other trees, of the same pairs. Shifts: `noisy` (one failed experiment in ten seems to work), `short_days` (30
        steps a day, 50 days).

    References:
        Return of an episode, the mean of 1,000 boxes (seeds 0 to 999) and its standard error. Random play 17.34 +- 0.12
        (`make_vec`, `action_space.seed(0)`). Agents of `boxes.run("AmnesiaBox", {0: name}, boxes=1000)`, which do only what the
        mask allows: without notes `random` 155.99 +- 0.40, `never_repeat` (on a day) 388.29 +- 0.68, `greedy` 383.20 +- 1.41;
        with them `notes_fifo` 615.13 +- 6.13, `notes_best_path` 918.90 +- 13.46; `oracle` 5978.30 +- 29.58, which knows the
        recipes: strong, not proved to be the best. With `preset="short"` 31.42 +- 0.17, 77.78 +- 0.28, 76.31 +- 0.56, 104.97 +-
        1.30, 109.22 +- 1.48 and 1195.66 +- 5.92.

    Source and variants:
        Learning to write memory down instead of keeping it: Peshkin, Meuleau & Kaelbling 1999 (cs/0103003), Toro Icarte et al.
        2020 (arXiv 2010.01753). All seats of a box of several at once: `metarl_envs.boxes`.
    """

    box = AmnesiaBox
    params = seated(AmnesiaBox)
    shifts = {
        "noisy": {"illusions": 0.1},
        "short_days": {"day": 30},
    }


class GenerationsSeat(Seat):
    """A seat in which ten live one after another, among greedy companions of all ages.

    Two things are combined; few pairs make something. After `lifespan` steps agent 0 dies, and another begins in its place, who
    holds the bases, and forgets if it keeps to the rules (`forgot`). In its first 20 steps a newborn copies, one a step, what
    its teacher has. It is agent 0 of a `GenerationsBox`, with the parameters of the box.

    Hidden:
        The recipes: for each of the 240 items above the 12 bases (30 levels x 8), the six pairs that make it; the trees are
        endless. An item of level d is made of one of level d - 1 and any older one, mostly a recent one.

    Reward:
        The level of what agent 0 makes and does not hold; nothing for what it copies. What was lost with a life can be made
        again, and pays again.

    Episode:
        Starts with the bases, agent 0 newborn and companions of all ages. The recipes stay. Truncated after `horizon` steps
        (ten lives); never terminates.

    Splits:
        train and test (about four tasks to one) share no recipe: the places, within their levels, of ingredients and product
        add up to an even number in train trees and to an odd one in test trees. validation: one in five of the train trees,
        which are other trees, of the same pairs. Shifts: `miscopied` (one copy in five goes wrong), `untaught` (newborns
        copy nothing).

    References:
        Return of an episode, the mean of 1,000 boxes (seeds 0 to 999) and its standard error, companions greedy. Random play
        11.21 +- 0.23 (`make_vec`, `action_space.seed(0)`). Agents of `boxes.run("GenerationsBox", {0: name, "others":
        "greedy"}, boxes=1000)`, which do only what the mask allows: `random` 109.19 +- 0.70, `never_repeat` (in a life) 116.91
        +- 0.73, `greedy` 227.94 +- 1.99, `oracle` 4886.66 +- 13.65, which knows the recipes: strong, not proved to be the best.
        With `preset="short"` 4.67 +- 0.12, 52.56 +- 0.42, 56.94 +- 0.44, 100.50 +- 1.00 and 1897.69 +- 6.33.

    Source and variants:
        Chains of learners who replace each other: Caldwell & Millen 2008 (Evolution and Human Behavior 29:165). That fidelity
        decides what lasts: Lewis & Laland 2012 (Phil. Trans. R. Soc. B 367:2171). All seats at once: `metarl_envs.boxes`.
    """

    box = GenerationsBox
    params = seated(GenerationsBox)
    shifts = {
        "miscopied": {"copy_error": 0.2},
        "untaught": {"fidelity": 0.0},
    }


@kernel
def make_the_best_by_force_from_seat(hyper, memory, params, task, state, rng):
    """Make what pays most of all that can be made now, by force where that is surer; wait where one is out."""
    if state.box.t < state.box.out_until[0]:
        return items_in(params)
    return make_the_best_by_force(hyper, memory, params, task, state.box, 0, rng)


class KnowsTheRecipesAndForces(Oracle):
    """Knows the recipes: always makes what pays most, by force where that is surer. Strong, not proved to be the best."""

    act = make_the_best_by_force_from_seat


class HazardSeat(Seat):
    """A seat among others of all manners, where luck can be forced at the cost of everybody else's health.

    Two things are combined; few pairs make something, and a right pair seldom works, unless it is forced. Force costs all
    others health, and with health everybody's luck goes. What one has can be stolen, given and published. Each companion is
    clean, prosocial, toxic or a thief, drawn anew in each episode. It is agent 0 of a `HazardBox`, with the parameters of the
    box.

    Hidden:
        The recipes: for each of the 40 items above the 8 bases (10 levels x 4), the three pairs that make it; the trees are
        endless. An item of level d is made of one of level d - 1 and any older one, mostly a recent one.

    Reward:
        The level of what agent 0 makes and did not hold, once for each thing, whoever takes it away; nothing for what it is
        given, or steals.

    Episode:
        Starts with the bases and full health. Who has no health left is out for the rest. The recipes stay for the trial.
        Truncated after `horizon` steps; never terminates.

    Splits:
        train and test (about four tasks to one) share no recipe: the places, within their levels, of ingredients and product
        add up to an even number in train trees and to an odd one in test trees. validation: one in five of the train trees,
        which are other trees, of the same pairs. Shifts: `toxic` (all companions force), `secret` (nobody is told who did
        harm).

    References:
        Return of an episode, the mean of 1,000 boxes (seeds 0 to 999) and its standard error, companions mixed. Random play
        0.52 +- 0.03 (`make_vec`, `action_space.seed(0)`), `oracle` 109.39 +- 2.40, which knows the recipes and forces: strong,
        not proved to be the best.

    Source and variants:
        A dilemma as of Schelling 1973 (Journal of Conflict Resolution 17:381): force always pays oneself, and ruins all where
        all do it (`HazardBox.schelling()`). Who harms because it pays: `metarl_envs.boxes.study.ruthlessness`. All seats at
        once: `metarl_envs.boxes`.
    """

    box = HazardBox
    params = seated(HazardBox, EXPERIMENTERS)
    references = {"oracle": KnowsTheRecipesAndForces()}
    shifts = {
        "toxic": {"companions": "toxic"},
        "secret": {"visibility": "hidden"},
    }

    @classmethod
    def short_instructions(cls, p: SimpleNamespace) -> str:
        """What pays, and what it costs others."""
        if p.health == 0:
            return cls.instructions(p)
        text = f"Combine two things: a right pair makes something new, which pays, with chance {p.p_clean:g}."
        if p.harm_mask:
            return text
        return text + f" By force it is {p.p_toxic:g}, and costs all others {p.harm:g} health. Without health one is out."


first_claim = begins_in(mechanisms_of(SealedBox.with_params().p), CLAIM)
#: Where both are paid: citations weigh so much that a step is better spent on a claim than on the next thing (what the oracle
#: earned with claims and without, at the defaults in 1,000 boxes, was the same at this `mix`).
_CITED_RATHER = 0.75


@kernel
def pays_to_claim(params, box, i):
    """Whether it is worth a step to claim what agent i tried last: to have claimed it pays, or to be cited for it."""
    made = box.seemed[i]
    if made == NOTHING or params.selection == CONSEQUENTIALIST:
        return False
    if params.selection == MIX and params.mix < _CITED_RATHER:
        return False
    if params.selection == SEEMS_RIGHT:
        return box.credited[i, made] == 0
    for k in range(params.board):  # noqa: SIM110 (a kernel has no generators)
        if is_claim(box, k) and box.author[k] == i and box.board[k, MADE] == made:
            return False
    return True


@kernel
def make_the_best_and_claim_it_from_seat(hyper, memory, params, task, state, rng):
    """Claim what was made, where that is worth it; else make what pays most of all that can be made now."""
    if pays_to_claim(params, state.box, 0):
        return first_claim(params) + place_to_write(params, state.box)
    return make_the_best(hyper, memory, params, task, state.box, 0, rng)


class KnowsTheRecipesAndClaims(Oracle):
    """Knows the recipes: makes what pays most, and claims it where that is worth it. Strong, not proved to be the best."""

    act = make_the_best_and_claim_it_from_seat


class SealedSeat(Seat):
    """A seat among scientists who forget every day and die, where experiments deceive and only a noticeboard stays.

    Two things are combined; few pairs make something, and one in ten that makes nothing seems to. What seemed to work can be
    claimed on the board under one's name, and others replicate it, cite it and build on it. Each companion is a publisher, a
    replicator, a citer, a sceptic or a conformist, drawn anew in each episode. It is agent 0 of a `SealedBox`, with the
    parameters of the box.

    Hidden:
        The recipes: for each of the 160 items above the 12 bases (20 levels x 8), the six pairs that make it; the trees are
        endless. An item of level d is made of one of level d - 1 and any older one, mostly a recent one.

    Reward:
        The level of what agent 0 truly makes and does not hold, and nothing for what only seems to be made; what was lost at
        dawn can be made again, and pays again. With other values of `selection` claims pay, or citations.

    Episode:
        Starts with the bases, an empty board, agent 0 newborn and companions of all ages. A day has `day` steps, a life
        `lifespan`; the recipes stay. Truncated after `horizon` steps (18 days, six lives); never terminates.

    Splits:
        train and test (about four tasks to one) share no recipe: the places, within their levels, of ingredients and product
        add up to an even number in train trees and to an odd one in test trees. validation: one in five of the train trees,
        which are other trees, of the same pairs. Shifts: `credulous` (all companions claim whatever seemed to work, and test
        nothing), `applauded` (all companions cite every claim, and that is what pays).

    References:
        Return of an episode, the mean of 1,000 boxes (seeds 0 to 999) and its standard error, companions mixed. Random play
        9.67 +- 0.09 (`make_vec`, `action_space.seed(0)`), `oracle` 2054.32 +- 11.65, which knows the recipes: strong, not
        proved to be the best (it makes what pays most of all that can be made now, and, where `selection` pays for claims,
        claims it). With `preset="short"` 4.92 +- 0.06 and 1027.16 +- 5.83. Agents of `boxes.run("SealedBox", {0: name, 1:
        "publisher", 2: "replicator", 3: "citer", 4: "sceptic", 5: "conformist"}, boxes=1000)`, which do only what the mask
        allows: `random` 81.78 +- 0.25, `greedy` 143.44 +- 0.74, `never_repeat` (on a day) 192.46 +- 0.44, `citer` 300.09 +-
        1.95, `conformist` 349.15 +- 2.32, `publisher` 357.43 +- 2.02, `sceptic` 380.70 +- 2.31, `replicator` 388.40 +- 2.55.

    Source and variants:
        That methods which make more claims spread, though more of them are false: Smaldino & McElreath 2016 (Royal Society Open
        Science 3:160384). What becomes of claims where one thing or another pays: docs/boxes.md. All seats at once:
        `metarl_envs.boxes`.
    """

    box = SealedBox
    params = seated(SealedBox, SCIENTISTS)
    references = {"oracle": KnowsTheRecipesAndClaims()}
    shifts = {
        "credulous": {"companions": "publisher"},
        "applauded": {"selection": "approval", "companions": "citer"},
    }

    @classmethod
    def short_instructions(cls, p: SimpleNamespace) -> str:
        """What pays, and what deceives."""
        if p.selection == "none":
            return cls.instructions(p)
        pays = {
            "consequentialist": ", which pays",
            "seems_right": "; to claim it pays",
            "approval": "; to be cited for it pays",
            "mix": "; to make it pays, and to be cited for it",
        }
        text = f"Combine two things: a right pair makes something new{pays[p.selection]}. Claims stay on the board."
        if p.illusions:
            text += f" A pair that fails seems right with chance {p.illusions:g}."
        return text
