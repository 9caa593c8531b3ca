"""Boxes from outside: PettingZoo, batches, and one row an agent are one world, step by step."""

import copy
import functools
import hashlib
import pickle
import subprocess
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pettingzoo
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

from metarl_envs.boxes import amnesia_v0, invention_v0, sealed_v0
from metarl_envs.boxes.envs.batch import BoxVectorEnv, FlatBoxVectorEnv, make_vec
from metarl_envs.boxes.world.mechanisms import verbs_of
from metarl_envs.boxes.world.topology import TOPOLOGIES

with warnings.catch_warnings():  # its own modules of tests import what it deprecates
    warnings.simplefilter("ignore")
    from pettingzoo.test import api_test, max_cycles_test, parallel_api_test, parallel_seed_test, render_test, seed_test

#: One layout of rows for all tests but a few: each layout is compiled once.
SMALL = {
    "agents": 3,
    "notes": 2,
    "board": 1,
    "page": 1,
    "lineages": 1,
    "levels": 3,
    "width": 2,
    "bases": 4,
    "recipes": 1,
    "dead_ends": 0.0,
    "crossover": 0,
}
MODULES = pytest.mark.parametrize("module", [invention_v0, amnesia_v0], ids=["invention", "amnesia"])
MODES = pytest.mark.parametrize("mode", list(AutoresetMode), ids=lambda mode: mode.name)
#: What PettingZoo's own test says of every environment with action masks that is not on its list of names.
MASKED = pytest.mark.filterwarnings(
    "ignore:Observation is not a NumPy array", "ignore:Observation space for each agent probably should be"
)
#: A lively box: all see and copy with luck, experiments deceive, days end, and there is somebody to visit.
LIVELY = {**SMALL, "topology": "dynamic", "group": 1, "visit": 0.3, "stay": 2, "fidelity": 0.5, "illusions": 0.4, "day": 7}


def parallel(module=invention_v0, **params):
    return module.parallel_env(**{**SMALL, **params})


def random_actions(rng, masks):
    """Actions by agent, mostly legal ones."""
    return {
        agent: int(rng.choice(np.flatnonzero(mask))) if rng.random() < 0.9 else int(rng.integers(len(mask)))
        for agent, mask in masks.items()
    }


def trial(env, seed=0, change=lambda actions: actions):
    """Everything that a trial of random actions gives, step by step."""
    rng = np.random.default_rng(seed)
    seen, infos = env.reset(seed=seed)
    yield seen, {}, {}, {}, infos
    while env.agents:
        result = env.step(change(random_actions(rng, {agent: seen[agent]["action_mask"] for agent in env.agents})))
        seen = result[0]
        yield result


def digest(results):
    """A hash of results, whatever they are nested in."""
    h = hashlib.sha256()

    def feed(value):
        if isinstance(value, dict):
            for key in sorted(value):
                h.update(key.encode())
                feed(value[key])
        elif isinstance(value, tuple | list):
            for part in value:
                feed(part)
        else:
            h.update(np.ascontiguousarray(value).tobytes())

    feed(list(results))
    return h.hexdigest()


def stacked(env, values):
    """Observations by agent as a batch would have them."""
    return {name: np.stack([values[agent][name] for agent in env.possible_agents]) for name in ("observation", "action_mask")}


# ------------------------------------------------------------------------------------------------- PettingZoo
@MODULES
def test_parallel_api(module):
    parallel_api_test(parallel(module, horizon=30), num_cycles=100)


@MASKED
@MODULES
def test_api(module):
    api_test(module.env(**SMALL, horizon=30), num_cycles=100)
    api_test(module.raw_env(**SMALL, horizon=30), num_cycles=100)


@MODULES
def test_seeds(module):
    seed_test(functools.partial(module.env, **SMALL, horizon=40), num_cycles=60)
    parallel_seed_test(functools.partial(parallel, module, horizon=40), num_cycles=60)


@MODULES
def test_max_cycles(module):
    max_cycles_test(
        SimpleNamespace(parallel_env=functools.partial(parallel, module), env=functools.partial(module.env, **SMALL))
    )


@MODULES
def test_render(module, monkeypatch):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    render_test(functools.partial(module.env, **SMALL))


def test_a_window_shows_every_step_and_is_closed(monkeypatch):
    pygame = pytest.importorskip("pygame")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    env, drawn = parallel(render_mode="human"), parallel(render_mode="rgb_array")
    assert drawn.reset(seed=0)[1] == env.reset(seed=0)[1]
    for actions in (0, 1):
        assert env.render() is None
        shown = pygame.surfarray.array3d(pygame.display.get_surface()).swapaxes(0, 1)
        assert np.array_equal(shown, drawn.render())
        env.step(dict.fromkeys(env.agents, actions))
        drawn.step(dict.fromkeys(drawn.agents, actions))
    env.close()
    assert pygame.display.get_surface() is None


@pytest.mark.parametrize(
    ("make", "window"),
    [
        (parallel, True),
        (lambda **arguments: invention_v0.env(**SMALL, **arguments), True),
        (lambda **arguments: make_vec("InventionBox", 2, **SMALL, **arguments), False),
        (lambda **arguments: make_vec("InventionBox", 2, flat=True, **SMALL, **arguments), False),
    ],
    ids=["parallel", "aec", "batch", "flat"],
)
def test_a_way_to_render_that_there_is_not_is_refused_at_once(make, window):
    wrong = ["rgb_aray", "RGB_ARRAY", "depth_array", 1, ["ansi"], *([] if window else ["human"])]
    for mode in wrong:
        with pytest.raises(ValueError, match=r"render_mode=.* must be None or one of 'rgb_array', 'ansi'"):
            make(render_mode=mode)
    assert make(render_mode="ansi").render_mode == "ansi"


@pytest.mark.skipif(not hasattr(pettingzoo, "register"), reason="this PettingZoo has no registry")
@pytest.mark.parametrize("name", ["InventionBox", "AmnesiaBox"])
def test_the_registry_has_both_kinds(name):
    env = pettingzoo.make("parallel", f"MetaRL/{name}-v0", **SMALL, max_cycles=5)
    assert env.metadata["name"] == f"{name.removesuffix('Box').lower()}_v0"
    assert env.variant.horizon == 5
    assert isinstance(pettingzoo.make("aec", f"MetaRL/{name}-v0", **SMALL), pettingzoo.AECEnv)


def test_a_trial_is_the_same_in_two_processes():
    script = "import test_boxes_api as t; print(t.whole_trials())"
    command = [sys.executable, "-c", script]
    other = subprocess.run(command, capture_output=True, text=True, cwd=__file__.rpartition("/")[0])
    assert other.stdout.strip() == whole_trials(), other.stderr


def whole_trials():
    """A hash of a trial through PettingZoo, and of one in a batch."""
    one = digest(trial(parallel(horizon=60, **{k: v for k, v in LIVELY.items() if k not in SMALL}), seed=3))
    envs = make_vec("InventionBox", 5, **LIVELY, horizon=60)
    rng = np.random.default_rng(0)
    results = [envs.reset(seed=3)] + [envs.step(rng.integers(0, 10, (5, 3))) for _ in range(70)]
    return one + digest(results)


def test_agents_are_given_memory_of_their_own():
    env = parallel()
    before, _ = env.reset(seed=0)
    kept = copy.deepcopy(before)
    after = env.step(dict.fromkeys(env.agents, 0))[0]
    assert digest([before]) == digest([kept])
    arrays = [array for seen in (before, after) for views in seen.values() for array in views.values()]
    for i, array in enumerate(arrays):
        assert env.observation_space("agent_0").contains(before["agent_0"])
        assert not any(np.shares_memory(array, other) for other in arrays[:i])


def test_what_is_refused():
    env = parallel()
    with pytest.raises(ResetNeeded):
        env.step({})
    env.reset(seed=0)
    start, wait = pickle.dumps(env.get_state()), dict.fromkeys(env.agents, verbs_of(env.variant.p).wait)
    for action in (-1, env.action_space("agent_1").n, 0.5, None, "wait", [1]):
        with pytest.raises(ValueError, match=r"agent_1.*from 0 to"):
            env.step({**wait, "agent_1": action})
    with pytest.raises(ValueError, match="all must act"):
        env.step({"agent_0": 0})
    with pytest.raises(ValueError, match="all must act"):
        env.step({**wait, "agent_9": 0})
    with pytest.raises(ValueError, match="new_trial"):
        env.reset(options={"new_trial": False})
    assert pickle.dumps(env.get_state()) == start
    for bad in ({"max_cycles": 5, "horizon": 6}, {"split": "valid"}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            parallel(**bad)
    with pytest.raises(TypeError, match="unexpected keyword argument 'speed'"):
        parallel(speed=1)


def test_a_box_over_stays_over_until_it_is_reset():
    env = parallel(horizon=2)
    env.reset(seed=0)
    results = list(trial(env))
    _, rewards, terminations, truncations, infos = results[-1]
    assert len(results) == 3
    assert set(rewards) == set(infos) == set(env.possible_agents)
    assert not any(terminations.values())
    assert all(truncations.values())
    with pytest.raises(ResetNeeded):
        env.step(dict.fromkeys(env.possible_agents, 0))
    assert len(list(trial(env))) == 3


def test_a_snapshot_brings_back_the_box_and_so_do_copies():
    env = parallel(**{k: v for k, v in LIVELY.items() if k not in SMALL}, horizon=30)
    env.reset(seed=1)
    actions = np.random.default_rng(0).integers(0, 10, (25, 3)).tolist()

    def go_on(env, steps):
        return digest(env.step(dict(zip(env.agents, a, strict=True))) for a in steps)

    go_on(env, actions[:10])
    state, copied = pickle.loads(pickle.dumps(env.get_state())), copy.deepcopy(env)
    other = pickle.loads(pickle.dumps(env))
    first = go_on(env, actions[10:])
    assert go_on(copied, actions[10:]) == first == go_on(other, actions[10:])
    env.set_state(state)
    assert go_on(env, actions[10:]) == first
    fresh = parallel(**{k: v for k, v in LIVELY.items() if k not in SMALL}, horizon=30)
    fresh.set_state(state)
    assert go_on(fresh, actions[10:]) == first


def test_the_central_view_is_what_all_see_also_after_a_snapshot():
    env = parallel()
    seen, _ = env.reset(seed=0)
    state, snapshot = env.state(), env.get_state()
    assert env.state_space.contains(state)
    together = stacked(env, seen)
    assert np.array_equal(state, np.concatenate([together["observation"], together["action_mask"]], axis=1))
    env.step(dict.fromkeys(env.agents, 0))
    assert not np.array_equal(env.state(), state)
    env.set_state(snapshot)
    assert np.array_equal(env.state(), state)


def test_tasks_can_be_given_and_told():
    env = parallel(ground_truth=True)
    _, infos = env.reset(seed=0, options={"task": 5})
    recipe = infos["agent_1"]["metarl"]["task"]["recipe"]
    assert np.array_equal(recipe, env.tasks[5]["recipe"])
    assert np.array_equal(env.task["recipe"], recipe)
    *_, infos = env.step(dict.fromkeys(env.agents, 0))
    assert np.array_equal(infos["agent_0"]["metarl"]["task"]["recipe"], recipe)
    for split, parity in ("train", 0), ("test", 1):
        env = parallel(split=split)
        for seed in range(5):
            env.reset(seed=seed)
            assert env.task["parity"] == parity


def test_memory_is_reset_at_dawn_and_infos_say_what_was_made():
    env = parallel(amnesia_v0, day=5, horizon=20)
    env.reset(seed=0)
    a, b = (int(x) for x in env.task["recipe"][4, 0])
    resets, made = [], []
    for t in range(20):
        action = [a, b][t] if t < 2 else verbs_of(env.variant.p).wait
        _, rewards, *_, infos = env.step(dict.fromkeys(env.agents, action))
        resets.append(infos["agent_2"]["memory_reset"])
        made.append(infos["agent_0"]["made"])
        assert rewards["agent_0"] == (1.0 if t == 1 else 0.0)
    assert [t + 1 for t in range(20) if resets[t]] == [5, 10, 15, 20]
    assert made == [-1, 4, *[-1] * 18]


@pytest.mark.slow
@pytest.mark.plain
def test_where_experiments_deceive_infos_do_not_tell_what_was_made():
    """It would tell what is an illusion, also where only claims pay."""
    params = {"illusions": 0.5, "horizon": 3, "selection": "approval"}
    env = sealed_v0.parallel_env(**params)
    _, infos = env.reset(seed=0)
    assert all(info.keys() == {"memory_reset"} for info in infos.values())
    *_, infos = env.step(dict.fromkeys(env.agents, 0))
    assert all(info.keys() == {"memory_reset"} for info in infos.values())
    envs = make_vec("SealedBox", 2, autoreset_mode=AutoresetMode.SAME_STEP, **params)
    envs.reset(seed=0)
    for _ in range(3):
        *_, info = envs.step(np.zeros((2, 6), np.int64))
        assert "made" not in info
    assert "made" not in info["final_info"]


# ------------------------------------------------------------------------------------------------- masks and luck
def after(env, snapshot, actions):
    """The box after one step from a snapshot, as a dict of arrays."""
    env.set_state(snapshot)
    env.step(actions)
    return {name: env.world[name].copy() for name in env.world.dtype.names}


@pytest.mark.parametrize("topology", ["dynamic", "chosen"])
def test_an_action_that_the_mask_forbids_is_a_counted_wait(topology):
    """And one that it allows is not counted: the mask is what the box takes to be legal."""
    env = parallel(**{k: v for k, v in LIVELY.items() if k not in SMALL} | {"topology": topology, "horizon": 200})
    wait = verbs_of(env.variant.p).wait
    rng = np.random.default_rng(0)
    for step, (seen, *_) in enumerate(trial(env, seed=2)):
        if not env.agents or step % 10:
            continue
        snapshot, before = env.get_state(), env.illegal
        agent = int(rng.integers(3))
        others = dict.fromkeys(env.agents, wait)
        waited = after(env, snapshot, others)
        for action, legal in enumerate(seen[f"agent_{agent}"]["action_mask"]):
            acted = after(env, snapshot, {**others, f"agent_{agent}": action})
            assert acted["illegal"][agent] == before[f"agent_{agent}"] + (1 - legal)
            if not legal:
                acted["illegal"][agent] -= 1
                assert digest([acted]) == digest([waited])
        env.set_state(snapshot)


def test_another_agents_choices_shift_no_luck_of_those_that_do_not_see_it():
    env = parallel(topology="isolated", illusions=0.5, day=20, horizon=120)
    items = verbs_of(env.variant.p).wait

    def others(results):
        return digest([[part[a] for part in result[:4] if part] for a in ("agent_0", "agent_2")] for result in results)

    def keep_off_the_board(actions):  # what stands there all can see
        return {a: min(action, items) for a, action in actions.items()}

    def otherwise(actions):
        return {**keep_off_the_board(actions), "agent_1": items}

    kept, changed = list(trial(env, 5, keep_off_the_board)), list(trial(env, 5, otherwise))
    assert digest(kept) != digest(changed)
    assert others(kept) == others(changed)


def test_who_wanders_where_does_not_hang_on_what_is_done():
    env = parallel(topology="dynamic", group=1, visit=0.3, stay=3, horizon=100)
    paths = []
    for seed in (0, 1):
        env.reset(seed=7)
        rng, path = np.random.default_rng(seed), []
        while env.agents:
            env.step({agent: int(rng.integers(10)) for agent in env.agents})
            path.append(env.world["where"].tolist())
        paths.append(path)
    assert paths[0] == paths[1]
    assert len({tuple(where) for where in paths[0]}) > 1


# ------------------------------------------------------------------------------------------------- batches
@MODES
@pytest.mark.parametrize("options", [{}, {"reuse_arrays": True}, {"num_threads": 2}], ids=["plain", "reused", "threads"])
def test_a_batch_is_its_boxes_one_by_one(mode, options):
    """Observations, rewards, ends and infos, over three trials; box i seeded s is the box seeded s + i."""
    count, params = 3, {**LIVELY, "horizon": 25, "illusions": 0.0}
    envs = make_vec("InventionBox", count, autoreset_mode=mode, **options, **params)
    singles = [invention_v0.parallel_env(**params) for _ in range(count)]
    seen, info = envs.reset(seed=11)
    expected = [env.reset(seed=11 + i) for i, env in enumerate(singles)]
    rng, total = np.random.default_rng(0), 0.0
    for _ in range(80):
        for i, (env, (views, infos)) in enumerate(zip(singles, expected, strict=True)):
            for name, array in stacked(env, views).items():
                assert np.array_equal(seen[name][i], array)
            for name in ("memory_reset", "made"):
                assert info[name][i].tolist() == [infos[agent][name] for agent in env.possible_agents]
            if env.agents or mode is not AutoresetMode.SAME_STEP:
                assert envs.illegal[i].tolist() == list(env.illegal.values())
        actions = rng.integers(0, envs.single_action_space.n, (count, 3))
        was_over = [not env.agents for env in singles]
        seen, rewards, terminated, truncated, info = envs.step(actions)
        total += rewards.sum()
        assert not terminated.any()
        for i, env in enumerate(singles):
            if was_over[i]:  # NEXT_STEP
                expected[i] = env.reset()
                assert rewards[i].tolist() == [0.0] * 3
                assert info["trial"]["action_ignored"][i]
                assert not truncated[i]
                continue
            views, paid, _, over, infos = env.step(dict(zip(env.agents, actions[i].tolist(), strict=True)))
            expected[i] = views, infos
            assert rewards[i].tolist() == list(paid.values())
            assert truncated[i] == over["agent_0"]
        ended = np.array([not env.agents for env in singles])
        if mode is AutoresetMode.SAME_STEP and ended.any():
            assert np.array_equal(info["_final_obs"], ended)
            for i, env in enumerate(singles):
                assert np.array_equal(info["final_obs"]["observation"][i], stacked(env, expected[i][0])["observation"])
                assert info["final_info"]["illegal"][i].tolist() == list(env.illegal.values())
                assert info["final_info"]["made"][i].tolist() == env.world["made"].tolist()
                expected[i] = env.reset()
        if mode is AutoresetMode.DISABLED and ended.any():
            seen, info = envs.reset(options={"reset_mask": ended})
            expected = [env.reset() for env in singles]
    assert total > 0
    envs.close()


@MODES
@pytest.mark.parametrize("reuse", [False, True])
def test_what_the_last_step_of_a_trial_pays_is_not_lost(mode, reuse):
    envs = make_vec("InventionBox", 2, autoreset_mode=mode, reuse_arrays=reuse, **SMALL, horizon=2, pays="mean")
    envs.reset(seed=0, options={"task": 0})
    a, b = (int(x) for x in envs.tasks[0]["recipe"][4, 0])
    envs.step(np.full((2, 3), a))
    _, rewards, _, truncated, info = envs.step(np.full((2, 3), b))
    assert truncated.all()
    assert rewards.tolist() == [[1.0] * 3] * 2
    if mode is AutoresetMode.SAME_STEP:
        assert (info["final_info"]["made"] == 4).all()
        assert info["trial"]["trial_start"].all()
    if mode is AutoresetMode.NEXT_STEP:
        rewards = envs.step(np.full((2, 3), b))[1]
        assert rewards.tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("topology", TOPOLOGIES)
def test_the_stream_of_a_batch_adds_up(topology):
    """Central rewards, what was made, and one start a trial."""
    params = {k: v for k, v in LIVELY.items() if k not in ("topology", "illusions")}
    envs = make_vec("InventionBox", 4, topology=topology, **params, horizon=20)
    _, info = envs.reset(seed=0)
    assert info["trial"]["trial_start"].all()
    rng, starts = np.random.default_rng(1), np.zeros(4)
    for step in range(1, 64):
        seen, rewards, _, truncated, info = envs.step(rng.integers(0, 10, (4, 3)))
        made = envs.worlds["made"]
        assert np.array_equal(info["made"], np.where(info["memory_reset"], -1, made))
        levels = np.where(made < 0, 0.0, 1 + (made - 4) // 2)
        assert np.array_equal(rewards, levels)
        assert np.array_equal(truncated, np.full(4, step % 21 == 20))
        starts += info["trial"]["trial_start"]
        assert seen["action_mask"][:, :, verbs_of(envs.variant.p).wait].all()
    assert starts.tolist() == [3.0] * 4


def test_spaces_of_a_batch():
    envs = make_vec("MetaRL/InventionBox-v0", 2, **SMALL)
    env = parallel()
    assert isinstance(envs, BoxVectorEnv)
    assert envs.single_observation_space == env.observation_space("agent_0")
    assert envs.single_action_space == env.action_space("agent_0")
    with pytest.raises(ValueError, match="there are: InventionBox, AmnesiaBox"):
        make_vec("DarkRoom", 2)
    with pytest.raises(ValueError, match="new_trial"):
        envs.reset(options={"new_trial": False})


# ------------------------------------------------------------------------------------------------- one row an agent
@MODES
def test_rows_of_agents_are_the_batch_reshaped(mode):
    params = {**LIVELY, "horizon": 12, "ground_truth": True, "autoreset_mode": mode}
    boxes, flat = make_vec("InventionBox", 4, **params), make_vec("InventionBox", 4, flat=True, **params)
    assert isinstance(flat, FlatBoxVectorEnv)
    assert flat.metadata["autoreset_mode"] is mode
    assert flat.observation_space == batch_space(flat.single_observation_space, 12)
    seen, info = boxes.reset(seed=4)
    rows, row_info = flat.reset(seed=4)
    rng = np.random.default_rng(0)
    for _ in range(40):
        for name in seen:
            assert np.array_equal(rows[name], seen[name].reshape(12, -1))
            assert np.shares_memory(rows[name], rows[name].base)
        assert flat.observation_space.contains({name: np.ascontiguousarray(rows[name]) for name in rows})
        assert "made" not in row_info
        assert np.array_equal(row_info["memory_reset"], info["memory_reset"].reshape(-1))
        assert np.array_equal(flat.illegal, boxes.illegal.reshape(-1))
        assert np.array_equal(row_info["trial"]["trial_start"], np.repeat(info["trial"]["trial_start"], 3))
        assert np.array_equal(row_info["metarl"]["task_id"], np.repeat(info["metarl"]["task_id"], 3))
        actions = rng.integers(0, 10, (4, 3))
        seen, rewards, terminated, truncated, info = boxes.step(actions)
        rows, row_rewards, row_terminated, row_truncated, row_info = flat.step(actions.reshape(-1))
        assert np.array_equal(row_rewards, rewards.reshape(-1))
        assert np.array_equal(row_terminated, np.repeat(terminated, 3))
        assert np.array_equal(row_truncated, np.repeat(truncated, 3))
        if mode is AutoresetMode.SAME_STEP and truncated.any():
            assert np.array_equal(row_info["final_obs"][5]["observation"], info["final_obs"]["observation"][1, 2])
            assert np.array_equal(row_info["final_info"]["illegal"], info["final_info"]["illegal"].reshape(-1))
        if mode is AutoresetMode.DISABLED and truncated.any():
            seen, info = boxes.reset(options={"reset_mask": truncated})
            rows, row_info = flat.reset(options={"reset_mask": row_truncated})


def test_rows_of_a_box_are_reset_together():
    flat = make_vec("InventionBox", 2, flat=True, autoreset_mode="Disabled", **SMALL, horizon=5)
    flat.reset(seed=0)
    half = np.array([True, False, False, False, False, False])
    for mask in (half, [True] * 6, np.ones(2, bool), np.ones(6)):
        with pytest.raises(ValueError, match="reset_mask"):
            flat.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="shape"):
        flat.step(np.zeros((2, 3), int))
    with pytest.raises(ValueError, match="seed holds 2 seeds; the number of rows is 6"):
        flat.reset(seed=[7, 9])
    seeded, boxes = flat.reset(seed=[7, 0, 0, 9, 0, 0])[0], make_vec("InventionBox", 2, **SMALL, horizon=5)
    assert np.array_equal(seeded["observation"], boxes.reset(seed=[7, 9])[0]["observation"].reshape(6, -1))
    assert (flat.boxes.worlds["noise"] == boxes.worlds["noise"]).all()
    before = flat.get_state()
    first = flat.step(np.zeros(6, int))[0]
    flat.set_state(before)
    assert digest([flat.step(np.zeros(6, int))[0]]) == digest([first])
