"""CONTRIBUTING leads from nothing to a family that is registered and passes every check; and what it says is the example."""

import re
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest

import metarl_envs
from metarl_envs.boxes.envs.parallel import ParallelBox
from metarl_envs.boxes.scenarios.invention import InventionBox
from metarl_envs.boxes.view.words import Grammar, words_for
from metarl_envs.boxes.world import mechanisms
from metarl_envs.boxes.world.days import DAYS
from metarl_envs.boxes.world.notes import NOTES
from metarl_envs.boxes.world.topology import TOPOLOGY
from metarl_envs.boxes.world.tree import NOTHING
from metarl_envs.engine import Row
from metarl_envs.ids import family_of
from metarl_envs.testing import check_family

ROOT = Path(__file__).parents[1]
GUIDE, EXAMPLE = ROOT / "CONTRIBUTING.md", ROOT / "examples" / "add_a_family.py"
if not GUIDE.exists():  # tests of an installed wheel, run from elsewhere
    pytest.skip("no CONTRIBUTING.md here", allow_module_level=True)
BLOCKS = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), flags=re.DOTALL)
_LAST = next(i for i, block in enumerate(BLOCKS) if block.startswith("metarl_envs.register("))
#: The blocks that make up the family's file, and those that use it.
FILE, USES = BLOCKS[: _LAST + 1], BLOCKS[_LAST + 1 : -1]
#: The block that makes a mechanism of boxes.
MECHANISM = BLOCKS[-1]
ID = "Mine/Lock-v0"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the family's file in it, from which Python is started."""
    (tmp_path / "add_a_family.py").write_text("\n\n".join(FILE))
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    gym.registry.pop(ID, None)
    sys.modules.pop("add_a_family", None)


def test_the_guide_says_what_the_example_says():
    example = EXAMPLE.read_text()
    imports, *rest = FILE
    assert len(rest) >= 5
    assert set(imports.splitlines()) <= set(example.splitlines())
    places = [example.find(block) for block in rest]
    assert -1 not in places, f"not in the example: {rest[places.index(-1)]}"
    assert places == sorted(places)


def test_the_family_is_made_by_its_id_alone(folder):
    """By module and id, as another process would: nothing here has imported it."""
    env = gym.make(f"add_a_family:{ID}", episodes_per_trial=2, ground_truth=True)
    _, info = env.reset(seed=0)
    code = info["metarl"]["task"]["code"]
    paid = [env.step(int(button))[1] for button in code]
    assert paid == [0, 0, 1]
    envs = gym.make_vec(f"add_a_family:{ID}", num_envs=3, length=2, buttons=5)
    assert envs.reset(seed=0)[0].shape == (3,)
    assert envs.single_action_space.n == 5


def test_what_is_done_with_the_family_runs(folder, capsys):
    """Every block after the family's file, but for `check_family`, which has a test of its own."""
    code = "import metarl_envs, numpy as np\n" + "\n".join(USES)
    assert code.count("check_family(") == 1
    exec(compile(code.replace("check_family(", "id("), "CONTRIBUTING.md", "exec"), {})
    shown = capsys.readouterr().out
    page = metarl_envs.engine.family.load_family("add_a_family:Lock").__doc__
    random, oracle = re.search(r"random (\S+), oracle (\d+)", shown).groups()
    assert f"random {random}" in page
    assert f"oracle {oracle} " in page


@pytest.mark.slow
def test_the_family_passes_every_check(folder):
    check_family(f"add_a_family:{ID}")


@pytest.mark.slow
def test_the_check_finds_the_leak_that_the_guide_suggests(folder):
    leak = re.search(r"write `(.*?)` instead", GUIDE.read_text())[1]
    file = folder / "add_a_family.py"
    assert file.read_text().count("obs[0] = state.right") == 1
    file.write_text(file.read_text().replace("obs[0] = state.right", f"obs[0] = {leak}"))
    with pytest.raises(AssertionError, match="gives the task away"):
        check_family(f"add_a_family:{ID}")


@pytest.mark.slow
def test_the_example_runs_from_anywhere(tmp_path):
    few = "--episodes 20 --tasks 3 --seeds 2 --num-envs 8 --steps 5"
    result = subprocess.run([sys.executable, str(EXAMPLE), *few.split()], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    for word in ("nothing to say", "trial over", "steps a second", "q_learning"):
        assert word in result.stdout


# ------------------------------------------------------------------------------------------- registering
@pytest.mark.parametrize("family", ["Lock", "add_a_family:", ":Lock", None, dict])
def test_what_is_no_import_path_is_not_registered(family):
    with pytest.raises(ValueError, match="module:Class"):
        metarl_envs.register("Mine/Other-v0", family)
    assert "Mine/Other-v0" not in gym.registry


def test_an_id_stands_for_one_thing(folder):
    metarl_envs.register(ID, "add_a_family:Lock")
    metarl_envs.register(ID, "add_a_family:Lock")
    for id, family in ((ID, "elsewhere:Lock"), ("CartPole-v1", "add_a_family:Lock")):
        with pytest.raises(ValueError, match="already"):
            metarl_envs.register(id, family)
    assert family_of(ID) == "add_a_family:Lock"


def test_an_id_is_found_with_its_module_in_front(folder):
    with pytest.raises(ValueError, match="not a family"):
        family_of(ID)
    assert family_of(f"add_a_family:{ID}") == family_of(ID) == "add_a_family:Lock"
    assert len(metarl_envs.tasks(f"add_a_family:{ID}", split="test")) < 64


def test_a_module_that_is_not_found_is_named(folder):
    with pytest.raises(ValueError, match="no_such_package"):
        family_of(f"no_such_package.maze:{ID}")
    (folder / "needs_another.py").write_text("import no_such_package")
    with pytest.raises(ModuleNotFoundError):  # its own trouble, not that of the id
        family_of(f"needs_another:{ID}")


def test_what_is_no_family_is_refused():
    with pytest.raises(ValueError, match="MetaRL/DarkRoom-v0"):
        family_of("CartPole-v1")


# ------------------------------------------------------------------------------------------- boxes
@pytest.mark.plain
def test_the_guides_verb_does_what_it_says(monkeypatch):
    """In a box that has it, with nothing else told of it: its number, its mask, its sentence, its key and what it does."""
    exec(compile(MECHANISM, "CONTRIBUTING.md", "exec"), scope := {})
    monkeypatch.setattr(mechanisms, "MECHANISMS", (*mechanisms.MECHANISMS, scope["LETTING_GO"]))

    class Letting(InventionBox):
        params = mechanisms.box_parameters(TOPOLOGY, DAYS, NOTES, scope["LETTING_GO"]).with_defaults(
            agents=2, horizon=10, lineages=1, levels=2, crossover=0
        )

    assert mechanisms.verbs_of(Letting.with_params().p).counts["drop"] == 0
    box = ParallelBox(Letting, letting_go=True)
    verbs = mechanisms.verbs_of(box.variant.p)
    drop = verbs.drop
    assert verbs.end == drop + 1 == box.action_space("agent_0").n
    assert Grammar(box.variant.p, words_for(20, 0)).parse("drop", hand=-1).action == drop
    assert Letting.instructions(box.variant.p).endswith(" You can put down what you hold.")
    box.reset(seed=0)
    seen, *_ = box.step({"agent_0": 3, "agent_1": verbs.wait})
    assert [seen[agent]["action_mask"][drop] for agent in box.agents] == [1, 0]
    assert [scope["DROP"].key.choose(None, Row(box.world), i) for i in (0, 1)] == [0, -1]
    assert box.world["hand"].tolist() == [3, NOTHING]
    box.step({"agent_0": drop, "agent_1": drop})
    assert box.world["hand"].tolist() == [NOTHING, NOTHING]
    assert box.world["illegal"].tolist() == [0, 1]


def test_the_guide_names_files_that_there_are():
    named = re.findall(
        r"`((?:metarl_envs|boxes|wrappers|tests|examples|docs)/[\w/.]+)`|\]\(([\w/.]+)(?:#\w+)?\)", GUIDE.read_text()
    )
    for name in {one or other for one, other in named}:
        assert any((ROOT / place / name).exists() for place in ("", "metarl_envs")), name
