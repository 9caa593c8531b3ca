"""Trained networks that come with the package: their files, their forward pass, what can be looked at and changed within it."""

import functools
import hashlib
import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gymnasium.spaces import Box

import metarl_envs
from metarl_envs import players
from metarl_envs.players import Step
from metarl_envs.players.networks import shipped
from metarl_envs.players.networks.cards import read_card
from metarl_envs.players.networks.layers import gelu, layer_norm, softmax
from metarl_envs.players.networks.looking_on import steps_of
from metarl_envs.players.networks.tokens import Transitions, shown
from metarl_envs.players.networks.transformer import Transformer
from metarl_envs.players.networks.watching import Stream

NAMES = list(shipped.DIGESTS)
#: The mixture takes long to compile and to step, and networks trained alike do the same there.
SELDOM = {
    **{f"{kind}-mixture-4": [pytest.mark.slow, pytest.mark.nightly] for kind in ("ad", "rl2")},
    **{f"{kind}-mixture-4096": [pytest.mark.slow] for kind in ("ad", "rl2")},
}
PLAYING = [pytest.param(name, marks=SELDOM.get(name, [])) for name in NAMES]
EXAMPLES = Path(__file__).parents[1] / "examples"


def home_of(name):
    """Where a network was trained: id, parameters."""
    trained = players.card(name).trained_on
    return trained["id"], trained["params"]


@functools.cache
def run_of(name):
    """A network's own run at home: two episodes on each of three tasks."""
    id, params = home_of(name)
    return metarl_envs.evaluate(id, players.pretrained(name), tasks=3, episodes=2, seeds=1, **params).run(name)


def logits_in(run, name, **settings):
    return np.stack([found["logits"] for found in players.pretrained(name, **settings).watch(run)])


# ------------------------------------------------------------------------------------------------ files and names
@pytest.mark.plain
@pytest.mark.parametrize("name", NAMES)
def test_a_file_is_small_whole_and_has_a_card(name):
    path = shipped.FOLDER / f"{name}.npz"
    assert path.stat().st_size < 900_000
    with np.load(path, allow_pickle=False) as held:
        kinds, count = {held[key].dtype for key in held.files}, sum(held[key].size for key in held.files)
    card = players.card(name)
    assert kinds == {np.dtype(np.float16)}
    assert card.size == {"weights": count, "dtype": "float16", "bytes": path.stat().st_size}
    assert str(card.training["seed"]) == max(card.validation["scores"], key=card.validation["scores"].get)
    assert card.test["low"] < card.test["score"] < card.test["high"]
    assert card.command in str(card)
    variant = metarl_envs.tasks(home_of(name)[0], **home_of(name)[1]).variant
    assert variant.values == card.trained_on["params"]
    assert card.spaces == (variant.observation_space, variant.action_space)


def test_all_files_together_are_small():
    assert sum(file.stat().st_size for file in shipped.FOLDER.iterdir()) < 1_500_000


@pytest.mark.plain
def test_a_file_that_was_changed_is_refused(tmp_path, monkeypatch):
    content = bytearray((shipped.FOLDER / f"{NAMES[0]}.npz").read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / f"{NAMES[0]}.npz").write_bytes(content)
    monkeypatch.setattr(shipped, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match=hashlib.sha256(content).hexdigest()):
        shipped.weights_of.__wrapped__(NAMES[0])


@pytest.mark.plain
def test_a_card_is_what_was_saved(tmp_path):
    card = players.card(NAMES[0])
    card.save(tmp_path / "card.json")
    assert read_card(tmp_path / "card.json") == card
    (tmp_path / "card.json").write_text('{"format": "metarl_envs network 1", "name": 3}')
    with pytest.raises(ValueError, match="'name' is missing or of another kind"):
        read_card(tmp_path / "card.json")


@pytest.mark.plain
def test_a_name_that_there_is_not_is_refused_with_those_that_there_are():
    for call in (players.pretrained, players.card):
        with pytest.raises(ValueError, match=r"ad-darkroom, ad-mixture-4, .*did you mean 'ad-darkroom'"):
            call("ad_darkroom")
    with pytest.raises(TypeError, match="name=3"):
        players.pretrained(3)
    with pytest.raises(ValueError, match=r"policy 'ad-darkrom' does not suit.*did you mean 'ad-darkroom'"):
        metarl_envs.evaluate("DarkRoom", "ad-darkrom")


@pytest.mark.plain
def test_a_network_plays_where_spaces_are_those_it_was_trained_on_and_nowhere_else():
    tasks = metarl_envs.tasks
    agent = players.pretrained("ad-darkroom")
    assert agent.why_unsuitable(tasks("DarkRoom", horizon=30, once=True).variant) is None
    assert "ad-darkroom" in shipped.suitable(tasks("DarkRoom").variant)
    assert "rl2-keytodoor" not in shipped.suitable(tasks("DarkRoom").variant)
    for given in ("ad-darkroom", agent):
        with pytest.raises(
            ValueError, match=r"trained in MetaRL/DarkRoom-v0 with size=9.*plays wherever.*in DarkRoom they are"
        ):
            metarl_envs.evaluate("DarkRoom", given, size=5)
    with pytest.raises(players.PlayerError, match="trained in MetaRL/DarkRoom-v0"):
        metarl_envs.evaluate("DarkRoom", players.Wrapped(agent), size=5, tasks=1, episodes=1, seeds=1)
    with pytest.raises(ValueError, match="trained in MetaRL/DarkKeyToDoor-v0"):
        next(players.pretrained("rl2-keytodoor").watch(run_of("ad-darkroom")))


@pytest.mark.plain
def test_a_network_is_a_policy_by_name_and_acts_by_its_seed():
    how = {"tasks": 3, "episodes": 2}
    result = metarl_envs.evaluate("DarkRoom", ["ad-darkroom", "random"], seeds=2, **how)
    assert result.policies["ad-darkroom"] == "ad-darkroom"
    again = metarl_envs.evaluate("DarkRoom", players.pretrained("ad-darkroom"), seeds=[1], **how)
    assert np.array_equal(again.runs["ad-darkroom"].actions, result.runs["ad-darkroom"].actions[3:])
    assert not np.array_equal(result.runs["ad-darkroom"].actions[:3], result.runs["ad-darkroom"].actions[3:])
    assert not {"ad-darkroom", "dpt-darkroom"} & set(metarl_envs.evaluate("DarkRoom", tasks=1, episodes=1, seeds=1).raw)


@pytest.mark.plain
def test_a_card_can_be_read_on_the_command_line(monkeypatch, capsys):
    from metarl_envs.cli import main

    for more, part in (([], "python examples/algorithm_distillation.py"), (["--json"], '"name": "ad-darkroom"')):
        monkeypatch.setattr("sys.argv", ["metarl-envs", "list", "ad-darkroom", *more])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        assert part in capsys.readouterr().out


# ------------------------------------------------------------------------------------------------ the forward pass
def random_weights(rng, width=16, tokens=7, actions=3, layers=2):
    shapes = {"embed": (width, tokens), "decide.0": (width,), "decide.1": (actions, width)}
    for i in range(layers):
        named = {"before_attention": (width,), "before_neurons": (width,), "read": (3 * width, width), "write": (width, width)}
        named |= {"neurons.0": (4 * width, width), "neurons.2": (width, 4 * width)}
        shapes |= {f"blocks.{i}.{name}": shape for name, shape in named.items()}
    drawn = {f"{name}.weight": rng.normal(size=shape) / 2 for name, shape in shapes.items()}
    drawn |= {f"{name}.bias": rng.normal(size=shape[0]) / 2 for name, shape in shapes.items()}
    return {name: values.astype(np.float32) for name, values in drawn.items()}


def all_at_once(weights, tokens, heads, window, layers=2):
    """The logits of each token of one row, by the textbook: a matrix of who looks at whom, positions as complex numbers."""
    linear = lambda name, x: x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]  # noqa: E731
    length, age = len(tokens), np.arange(len(tokens))[:, None] - np.arange(len(tokens))
    x = linear("embed", tokens)
    for i in range(layers):
        name, size = f"blocks.{i}", x.shape[1] // heads
        read = linear(f"{name}.read", layer_norm(weights, f"{name}.before_attention")(x)).reshape(length, 3, heads, size)
        turn = np.exp(1j * np.arange(length)[:, None] * 1000.0 ** (-np.arange(size // 4) / (size // 4)))
        found = np.zeros((length, heads, size))
        for head in range(heads):
            query, key, value = read[:, 0, head], read[:, 1, head], read[:, 2, head]
            half = [(each[:, size // 2 : -size // 4] + 1j * each[:, -size // 4 :]) * turn for each in (query, key)]
            scores = query[:, : size // 2] @ key[:, : size // 2].T + (half[0] @ half[1].conj().T).real
            scores = np.where((age >= 0) & (age < window), scores / size**0.5, -np.inf)
            found[:, head] = softmax(scores) @ value
        x = x + linear(f"{name}.write", found.reshape(length, -1))
        excited = linear(f"{name}.neurons.0", layer_norm(weights, f"{name}.before_neurons")(x))
        x = x + linear(f"{name}.neurons.2", gelu(excited))
    return linear("decide.1", layer_norm(weights, "decide.0")(x))


@pytest.mark.plain
@pytest.mark.parametrize("window", [6, 40])  # 6: twenty tokens go around the ring three times
def test_the_cache_says_what_the_whole_sequence_says(window):
    rng = np.random.default_rng(0)
    weights, tokens = random_weights(rng), rng.normal(size=(2, 20, 7)).astype(np.float32)
    network = Transformer(weights, heads=2, rotary=True)
    cache, said = network.cache(2, window), []
    for t in range(20):
        stream = Stream({}, None)
        network.join(tokens[:, t], cache, stream)
        said.append(network.logits(stream))
    for row in range(2):
        whole = all_at_once(weights, tokens[row], heads=2, window=window)
        assert np.abs(np.stack(said)[:, row] - whole).max() < 2e-4
        assert whole.std() > 0.3


@pytest.mark.plain
def test_tokens_are_what_the_example_says():
    """A room of 3 x 2 cells, two actions: names, numbers, and the step before."""
    tokens = Transitions(Box(np.array([0, 5]), np.array([2, 6]), dtype=np.int16), 2)
    yes, no = np.array([True]), np.array([False])
    told = Step(np.array([[0, 6]]), np.array([-1]), np.zeros(1), no, no, yes, yes, yes)
    here, blank = [1, 0, 0, 0, 1, -1, 1], [0.0] * 12
    assert tokens.of(told).tolist() == [here + blank]
    then = replace(told, observation=np.array([[1, 5]]), previous_action=np.array([1]), previous_reward=np.array([0.5]))
    then = replace(then, truncated=yes, memory_reset=no, trial_start=no)
    there = [0, 1, 0, 1, 0, 0, -1]
    assert tokens.of(then).tolist() == [[*there, *here, 0, 1, 0.5, 1, 1]]
    assert tokens.alone(then.observation).tolist() == [there + blank]
    assert tokens.width == 19
    for outside in ([[3, 5]], [[0, 4]]):
        with pytest.raises(ValueError, match="outside of its space"):
            tokens.of(replace(then, observation=np.array(outside)))


@pytest.mark.plain
def test_real_numbers_are_shown_by_how_near_they_are_to_nine_places():
    space = Box(np.array([-1, 0], np.float32), np.array([1, 2], np.float32))
    seen = shown(space).codes_and_numbers(np.array([[-1, 2], [0.25, 0.125]], np.float32))
    places = [-1 + np.arange(9) / 4, np.arange(9) / 4]  # a quarter is the way from one to the next
    near = lambda x, i: np.exp(-2 * ((x - places[i]) / 0.25) ** 2)  # noqa: E731
    assert np.allclose(seen[0], [*near(-1, 0), *near(2, 1), -1, 1])
    assert np.allclose(seen[1], [*near(0.25, 0), *near(0.125, 1), 0.25, -0.875])
    assert shown(space).width == seen.shape[1] == 20
    for outside in (-0.5, np.nan):
        with pytest.raises(ValueError, match="outside of its space"):
            shown(space).codes(np.array([[0, outside]], np.float32))


@pytest.mark.plain
@pytest.mark.parametrize("name", PLAYING)
def test_who_forgets_is_as_new_and_others_are_not(name):
    """Logits after a reset of memory in one row are those of one that was born then; the other row stays as it is."""
    agent, steps = players.pretrained(name), list(steps_of(run_of(name)[:2]))
    observed, actions = agent.card.spaces
    told = {"observation_space": observed, "action_space": actions, "seed": 0}
    old, fresh, whole = (agent(num_envs=2, **told) for _ in range(3))
    half = len(steps) // 2
    for step in steps[:half]:
        old.read(step)
        whole.read(step)
    one = np.array([True, False])
    for i, step in enumerate(steps[half : half + 10]):
        both = np.ones(2, bool)
        said = old.read(replace(step, memory_reset=one) if i == 0 else step)
        new = fresh.read(replace(step, memory_reset=both) if i == 0 else step)
        went_on = whole.read(step)
        assert np.allclose(said[0], new[0], atol=2e-4)
        assert np.allclose(said[1], went_on[1], atol=2e-4)
    assert not np.allclose(said[0], went_on[0], atol=1e-2) or not np.allclose(new[1], went_on[1], atol=1e-2)


# ------------------------------------------------------------------------------------------------ looking within
@pytest.mark.plain
@pytest.mark.parametrize("name", PLAYING)
def test_activations_are_those_of_the_forward_pass(name):
    run, agent = run_of(name), players.pretrained(name)
    layers, rows, steps = agent.card.network["layers"], len(run), run.actions.shape[1]
    seen = list(agent.watch(run))
    assert len(seen) == steps
    observed, actions = agent.card.spaces
    player = players.pretrained(name, activations=True)(num_envs=rows, observation_space=observed, action_space=actions, seed=0)
    for found, step in zip(seen, steps_of(run), strict=True):
        player.act(step)
        assert all(np.array_equal(values, player.activations[key]) for key, values in found.items())
        assert found["stream"].shape[:2] == (layers + 1, rows)
        assert found["logits"].shape == (rows, agent.card.actions)
    if "attention" in found:
        assert found["attention"].shape[:2] == (layers, rows)
        assert np.allclose(found["attention"].sum(axis=-1), 1, atol=1e-5)
        assert found["attention"].shape[-1] == (steps + (agent.card.form == "asked"))
    else:
        assert np.array_equal(found["hidden"], found["stream"][1])
        assert found["value"].shape == (rows,)


@pytest.mark.plain
@pytest.mark.parametrize("name", PLAYING)
def test_to_change_nothing_changes_nothing_and_to_change_the_stream_changes_what_is_said(name):
    run, layers = run_of(name), players.card(name).network["layers"]
    intact = logits_in(run, name)
    for layer in range(layers + 1):
        assert np.array_equal(logits_in(run, name, interventions={layer: lambda stream, step: stream}), intact)
    exchanged = logits_in(run, name, interventions={layers: lambda stream, step: stream[::-1]})
    assert np.allclose(exchanged[0], intact[0, ::-1], atol=1e-6)
    erased = logits_in(run, name, interventions={0: lambda stream, step: 0 * stream})
    assert (np.abs(erased - intact).max(axis=(1, 2)) > 1e-2).all()
    only_starts = {0: lambda stream, step: np.where(step.trial_start[:, None], 0, stream)}
    assert np.abs(logits_in(run, name, interventions=only_starts) - intact)[0].max() > 1e-2
    assert repr(players.pretrained(name, interventions=only_starts)) == f"pretrained('{name}, changed at 0')"


@pytest.mark.plain
def test_interventions_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="layer 3; there are those from 0 to 2"):
        players.pretrained("ad-darkroom", interventions={3: lambda stream, step: stream})
    with pytest.raises(TypeError, match=r"interventions\[1\]=7"):
        players.pretrained("ad-darkroom", interventions={1: 7})
    cut = players.pretrained("ad-darkroom", interventions={1: lambda stream, step: stream[:, :1]})
    with pytest.raises(ValueError, match=r"interventions\[1\] returned an array of shape \(3, 1\)"):
        next(cut.watch(run_of("ad-darkroom")))


# ------------------------------------------------------------------------------------------------ against PyTorch
def modules_with(name, monkeypatch):
    """The example's own players, who hold the same rounded weights, and the wrappers that they see through."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("tyro")
    monkeypatch.syspath_prepend(EXAMPLES)
    weights = {key: torch.from_numpy(values) for key, values in shipped.weights_of(name).items()}
    (id, params), form = home_of(name), players.card(name).form
    if form == "recurrent":
        rl2 = importlib.import_module("recurrent_ppo_rl2")
        policy = rl2.Rollouts(rl2.Args(id=id, params=params, num_envs=1), 0).policy
        policy.load_state_dict(weights)
        return lambda **told: rl2.Frozen(policy, **told), rl2.see
    ad, dpt = (importlib.import_module(each) for each in ("algorithm_distillation", "decision_pretrained_transformer"))
    learns = form == "distilled"
    model = ad.untrained(ad.Args(id=id, params=params), 0, rotary=learns)
    model.load_state_dict(weights)
    if learns:
        return lambda **told: ad.Distilled(model, **told), ad.VectorContextStream
    return lambda **told: dpt.Pretrained(model, 1000, **told), ad.VectorContextStream


@pytest.mark.slow
@pytest.mark.skipif(not EXAMPLES.exists(), reason="no examples here")
@pytest.mark.parametrize("control", [False, True])
@pytest.mark.parametrize("name", PLAYING)
def test_logits_are_those_of_pytorch_with_the_same_weights(name, control, monkeypatch):
    """Both live the same life, in which the ring of the cache goes around, and forget where a control says."""
    from metarl_wrappers import VectorForgetEachEpisode

    theirs, see = modules_with(name, monkeypatch)
    recurrent = players.card(name).form == "recurrent"
    beneath = (VectorForgetEachEpisode,) if control else ()
    said, done = {"ours": [], "theirs": []}, []

    class Ours:
        def __init__(self, **told):
            self.player = players.pretrained(name, activations=True)(**told)

        def act(self, step):
            done.append(self.player.act(step))
            said["ours"].append(self.player.activations["logits"])
            return done[-1]

    class Theirs:
        def __init__(self, **told):
            self.player, self.before = theirs(**told), iter(done)
            where, called = (
                (self.player.policy, "forward")
                if recurrent
                else (importlib.import_module(type(self.player).__module__), "drawn")
            )
            whole = getattr(where, called)

            def heard(*given):
                found = whole(*given)
                said["theirs"].append((found[0].logits[0] if called == "forward" else given[0]).numpy())
                return found

            monkeypatch.setattr(where, called, heard)

        def act(self, step):
            self.player.act(step)
            return next(self.before)

    id, params = home_of(name)
    for one in (players.Wrapped(Ours, *beneath), players.Wrapped(Theirs, *beneath, see)):
        metarl_envs.evaluate(id, {"one": one}, tasks=4, episodes=20, seeds=1, split="test", **params)
    ours, theirs = (np.stack(said[who]) for who in ("ours", "theirs"))
    if recurrent:  # of the Categorical: log chances
        ours = ours - np.log(np.exp(ours).sum(axis=-1, keepdims=True))
    steps = 20 * metarl_envs.tasks(id, **params).variant.horizon
    assert ours.shape == theirs.shape == (steps, 4, players.card(name).actions)
    assert np.abs(ours - theirs).max() < 1e-4
    assert theirs.std() > 0.15


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAYING)
def test_a_network_is_worth_what_its_card_says(name):
    card = players.card(name)
    id, params = home_of(name)
    episodes, tasks = {"rl2-keytodoor": (5, 124), "dpt-darkroom": (50, 17), "ad-darkroom": (50, 17)}.get(name, (20, 200))
    seeds = 5 if name in ("rl2-keytodoor", "ad-darkroom") else 1  # the others take their time
    params = {name: value for name, value in params.items() if not name.startswith("pool")}
    result = metarl_envs.evaluate(id, name, split="test", tasks=200, episodes=episodes, seeds=seeds, **params)
    values = result.normalised(name)
    assert values.shape[1] == tasks
    assert abs(values.mean() - card.test["score"]) < (2e-3 if seeds == 5 else 0.1)


@pytest.mark.slow
def test_the_page_on_trained_agents_runs(capsys):
    page = EXAMPLES.parent / "docs" / "pretrained.md"
    if not page.exists():  # tests of an installed wheel, run from elsewhere
        pytest.skip("no pages here")
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        exec(compile(code, "pretrained.md", "exec"), {})
    printed = capsys.readouterr().out
    assert "python examples/algorithm_distillation.py" in printed
    assert "['ad-darkroom', 'ad-darkroom, changed at 1']" in printed


@pytest.mark.slow
def test_patching_moves_nothing_in_front_of_the_network_and_everything_behind_it(monkeypatch):
    pytest.importorskip("tyro")
    if not EXAMPLES.exists():
        pytest.skip("no examples here")
    monkeypatch.syspath_prepend(EXAMPLES)
    patch = importlib.import_module("patch_activations")
    args = patch.Args(episodes=12, luck=2)
    run, counts = patch.lives(args)
    chances, theirs, cells = patch.patched(args, run)
    assert counts.sum() >= 8
    assert np.abs(chances[2] - theirs).max() < 1e-6
    assert np.abs(chances[0] - theirs)[counts].max() > 0.1
    assert cells.shape == (3, len(run), run.variant.horizon - 1, 2)
    own, other = (
        [(cells[layer] == goal[:, None]).all(axis=2).any(axis=1)[counts].mean() for layer in range(3)]
        for goal in (run.tasks["goal"], run.tasks["goal"][np.arange(len(run)) ^ 1])
    )
    assert own[0] > 0.5 > own[2]
    assert other[2] > 0.5 > other[0]


@pytest.mark.slow
def test_the_files_can_be_written_anew(tmp_path, monkeypatch):
    """Out of what training leaves: two seeds, of which the better one on validation tasks is written, as it is here."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("tyro")
    if not EXAMPLES.exists():
        pytest.skip("no examples here")
    monkeypatch.syspath_prepend(EXAMPLES)
    export = importlib.import_module("export_networks")
    name, card = "rl2-keytodoor", players.card("rl2-keytodoor")
    about = {key: value for key, value in card.training.items() if key not in ("seed", "seeds")}
    for seed, scale in ((0, 0.5), (1, 1.0)):
        weights = {key: torch.from_numpy(scale * values) for key, values in shipped.weights_of(name).items()}
        torch.save({"about": about, "weights": weights}, tmp_path / f"seed_{seed}.pt")
    export.main(export.Args(rl2=tmp_path, seeds=(0, 1), luck=1, only=name, out=tmp_path / "out"))
    written = read_card(tmp_path / "out" / f"{name}.json")
    assert hashlib.sha256((tmp_path / "out" / f"{name}.npz").read_bytes()).hexdigest() == shipped.DIGESTS[name]
    assert written.training == {**about, "seeds": [0, 1], "seed": 1}
    assert (written.spaces, written.trained_on, written.size) == (card.spaces, card.trained_on, card.size)
    assert written.validation["scores"]["1"] > written.validation["scores"]["0"] + 0.01
    assert abs(written.test["score"] - card.test["score"]) < 0.03
