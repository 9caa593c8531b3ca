"""Suites: they stay as they are, each agent gets a score where it can play and a reason where not, and nothing is lost."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from metarl_envs import evaluate, players, suites
from metarl_envs.cli import main
from metarl_envs.evaluation.statistics import over_seeds_and_tasks, over_tables
from metarl_envs.learners import QLearning
from metarl_envs.suites import report
from metarl_envs.suites.__main__ import freeze
from metarl_envs.suites.frozen import CAPABILITIES, FOLDER
from tests import an_example

pytestmark = pytest.mark.plain

#: What every suite is, for good.
DIGESTS = {
    "boxes-1": "a3c775ea4056a1fbc79f98d63f2d6a08",
    "core-1": "4098317e87a14a09d2db448d5005b6e3",
    "quick": "66d0ab6b4d800a54845ec1673dfd5b27",
}
ROOM = {"size": 5, "horizon": 4}
BOX = {"agents": 2, "horizon": 6, "levels": 2, "width": 2, "bases": 4, "lineages": 1, "crossover": 0}


def row(name, capability, **said):
    """A row that was not frozen yet."""
    open_ = {"split": "test", "why": "", "fingerprint": "", "zero": 0.0, "one": 1.0, "memoryless": None}
    return {"name": name, "capability": capability, **open_, **said}


def family_row(name, capability, id, **said):
    return row(name, capability, id=id, least_spread=0.001, **{"params": {}, "tasks": 3, "episodes": 1, **said})


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A suite of four rows, frozen: two rooms, a regression and a box."""
    file = tmp_path_factory.mktemp("suite") / "tiny.json"
    rows = [
        family_row("corner", "explore", "MetaRL/DarkRoom-v0", params={"size": 3, "horizon": 3, "start": "corner"}, split=None),
        family_row("room", "remember", "MetaRL/DarkRoom-v0", params=ROOM, episodes=2),
        family_row("regression", "regress", "MetaRL/LinearRegression-v0", params={"horizon": 2, "dimensions": 2}),
        row("box", "explore", box="InventionBox", measure="inventions", params=BOX, split=None, tasks=2),
    ]
    said = {"format": "metarl_envs suite 1", "name": "tiny", "about": "For tests.", "seeds": 2, "rows": rows}
    file.write_text(json.dumps(said))
    freeze(file)
    return file


@pytest.fixture(scope="module")
def suite(tiny):
    return suites.load(tiny)


@pytest.fixture(scope="module")
def result(suite):
    """What two agents score, one of which can play everything."""
    return suite.run(["random", "q_learning"])


class Stays:
    """Always takes the first action, or predicts 0."""

    made = 0

    def __init__(self, num_envs, observation_space, action_space, seed):
        type(self).made += 1
        self.action = np.zeros((num_envs, *action_space.shape), action_space.dtype)

    def act(self, step):
        return self.action


class Chooses(Stays):
    """Says by itself that it plays where actions are few."""

    @staticmethod
    def why_unsuitable(variant):
        return "it chooses, and does not predict" if variant.action_space.dtype.kind == "f" else None


class FindsOut(Stays):
    """Finds out when it is made."""

    def __init__(self, num_envs, observation_space, action_space, seed):
        if action_space.shape:
            raise NotImplementedError("predictions are not for it")
        super().__init__(num_envs, observation_space, action_space, seed)


# ------------------------------------------------------------------------------------------- suites stay as they are
@pytest.mark.parametrize("name", suites.names())
def test_a_suite_never_changes(name):
    assert suites.load(name).digest == DIGESTS.get(name), (
        f"the suite {name!r} is another one now. What it was is in results that people have: leave {name}.json as it was, and "
        "make a successor (copy it to a new name, change that, `python -m metarl_envs.suites FILE`, and add its digest here)"
    )


def test_no_suite_is_gone():
    assert set(DIGESTS) == set(suites.names())


def test_a_digest_covers_all_that_decides_a_score_and_not_what_is_said_of_it(tiny, tmp_path):
    before, said = suites.load(tiny).digest, json.loads(tiny.read_text())
    file = tmp_path / "other.json"
    for change in ({"seeds": 3}, {"name": "other"}, {"about": "Otherwise."}):
        file.write_text(json.dumps({**said, **change}))
        assert (suites.load(file).digest == before) == ("about" in change), change
    changes = [("why", "Because.", True), ("tasks", 4, False), ("split", "train", False), ("fingerprint", "0", False)]
    for part, value, same in [*changes, ("zero", -1, False), ("capability", "plan", False), ("episodes", 3, False)]:
        rows = [{**said["rows"][0], part: value}, *said["rows"][1:]]
        file.write_text(json.dumps({**said, "rows": rows}))
        assert (suites.load(file).digest == before) == same, part


@pytest.mark.parametrize("name", ["core-1", "quick"])
def test_every_capability_has_a_row_whose_source_is_told(name):
    suite = suites.load(name)
    assert list(suite.capabilities) == list(CAPABILITIES)
    for each in suite.rows:
        assert re.search(r"\b(19|20)\d\d\b", each.why), f"{each.name} does not say who measures so"
        assert each.variant.horizon > 0
    assert suites.load(FOLDER / f"{name}.json").digest == suite.digest


def test_recipes_are_those_that_were_frozen():
    """Other tasks are looked at in test_suites_board, where they are compiled."""
    suites.load("quick").row("company").check()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: said.pop("seeds"), "'seeds' is missing"),
        (lambda said: said["rows"].clear(), "0 rows"),
        (lambda said: said["rows"].append(said["rows"][0]), "two of its rows are called 'corner'"),
        (lambda said: said["rows"][0].update(capability="juggle"), "capability='juggle'"),
        (lambda said: said["rows"][0].update(name="../bandit"), "lower-case"),
        (lambda said: said["rows"][0].update(tasks=1), "needs two tasks"),
        (lambda said: said["rows"][0].update(zero=1e9), "less at zero than at one"),
        (lambda said: said["rows"][0].update(surprise=1), "'surprise'"),
        (lambda said: said["rows"][3].update(measure="beauty"), "measure='beauty'"),
        (lambda said: said.update(format="something"), "its format is"),
    ],
)
def test_what_is_no_suite_is_refused(change, why, tiny, tmp_path):
    said = json.loads(tiny.read_text())
    change(said)
    (file := tmp_path / "bad.json").write_text(json.dumps(said))
    with pytest.raises(ValueError, match=re.escape(why)):
        suites.load(file)


def test_a_suite_that_there_is_not():
    with pytest.raises(ValueError, match="did you mean 'core-1'"):
        suites.load("core1")


@pytest.mark.parametrize(
    ("part", "value", "why"),
    [("fingerprint", "0" * 32, "has other tasks than were frozen"), ("zero", 0.1, "scored zero"), ("one", 9.0, "scored one")],
)
def test_a_change_of_what_is_lived_is_noticed_before_anybody_lives(part, value, why, tiny, tmp_path):
    said = json.loads(tiny.read_text())
    said["rows"][0][part] = value
    (file := tmp_path / "changed.json").write_text(json.dumps(said))
    changed, made = suites.load(file), Chooses.made
    with pytest.raises(suites.ChangedError, match=f"row 'corner' .*{why}"):
        changed.run(Chooses)
    assert Chooses.made == made
    assert changed.run("least_squares").played("least_squares", "regress") == (1, 1), "other rows are looked at when lived"


# ------------------------------------------------------------------------------------------- who plays, and what it scores
def test_each_agent_has_a_score_where_it_can_play_and_a_reason_where_not(suite):
    agents = {"random": "random", "q_learning": "q_learning", "quick learner": QLearning(step_size=1.0), "bayes": "bayes"}
    result = suite.run({**agents, "greedy": "greedy", "stays": Stays, "chooses": Chooses, "finds out": FindsOut})
    lived = {agent: set(rows) for agent, rows in result.scores.items()}
    assert lived == {
        "random": {"corner", "room", "regression", "box"},
        "q_learning": {"corner", "room"},
        "quick learner": {"corner", "room"},
        "bayes": {"regression"},
        "greedy": {"box"},
        "stays": {"corner", "room", "regression", "box"},
        "chooses": {"corner", "room", "box"},
        "finds out": {"corner", "room", "box"},
    }
    assert all({*rows, *result.refusals[agent]} == lived["random"] for agent, rows in lived.items())
    reasons = result.refusals
    assert reasons["q_learning"]["regression"].startswith("QLearning needs Discrete actions, and LinearRegression has Box")
    assert reasons["q_learning"]["box"] == "QLearning does not sit in the seats of boxes"
    assert reasons["bayes"]["corner"] == "nobody is called 'bayes' there"
    assert reasons["chooses"] == {"regression": "it chooses, and does not predict"}
    assert reasons["finds out"] == {"regression": "predictions are not for it"}
    told = list(report.reasons(result))
    assert "bayes cannot play corner, room, box: nobody is called 'bayes' there" in told
    # The score of a row is that of `evaluate`, life by life.
    whole = evaluate("DarkRoom", {"q_learning": "q_learning"}, tasks=3, episodes=2, seeds=2, **ROOM)
    assert result.scores["q_learning"]["room"] == pytest.approx(whole.normalised("q_learning").mean(axis=(2, 3)), abs=1e-4)
    by_hand = over_seeds_and_tasks(whole.normalised("q_learning"))
    assert result.score("q_learning", "room") == pytest.approx(by_hand, abs=2e-3)
    # In a box, 0 is random play and 1 the oracle, in these boxes.
    box = suite.row("box")
    assert result.scores["greedy"]["box"].shape == (2, 2)
    assert suite.run("oracle").score("oracle", "box").mean == pytest.approx(1, abs=0.25), (box.zero, box.one)


def test_a_profile_says_over_what_it_is(result):
    assert result.played("random", "explore") == (2, 2)
    assert result.played("q_learning", "explore") == (1, 2)
    assert result.played("q_learning", "regress") == (0, 1)
    profile = result.profile("q_learning")
    assert list(profile) == ["explore", "remember", "regress"]
    assert profile["explore"] == result.score("q_learning", "corner")
    assert np.isnan(profile["regress"]).all()
    assert np.isnan(result.overall("q_learning")).all(), "it would be the mean of another suite"
    both = [result.scores["random"][name] for name in ("corner", "box")]
    assert result.profile("random")["explore"] == over_tables(both)
    assert result.overall("random").mean == pytest.approx(np.mean([table.mean() for table in result.scores["random"].values()]))
    text = report.markdown(result)
    assert "(1/2)" in text
    assert "| q_learning |" in text
    assert "n/a" in text
    assert "* q_learning cannot play regression: QLearning needs Discrete actions" in text


def test_differences_are_paired(result):
    mine, theirs = (result.scores[agent] for agent in ("q_learning", "random"))
    apart = [mine[name] - theirs[name] for name in ("corner", "room")]
    assert result.difference("q_learning", "random") == over_tables(apart)
    assert result.difference("q_learning", "random", "room") == over_tables(apart[1:])
    assert np.isnan(result.difference("q_learning", "random", "regression")).all()
    assert result.difference("random", "random").high == 0
    with pytest.raises(ValueError, match="did you mean 'room'"):
        result.difference("random", "random", "rooms")
    with pytest.raises(ValueError, match="did you mean 'random'"):
        result.score("randm", "room")


def test_who_is_nobody_is_refused(suite):
    for bad, error, why in [
        ("q_lerning", ValueError, "did you mean 'q_learning'"),
        ("lin_ucb", ValueError, "can play no row of tiny"),
        (QLearning, TypeError, "write QLearning()"),
        (3, TypeError, "agents=3"),
        ([], ValueError, "agents is empty"),
        ({"x": 3}, TypeError, "agent=3"),
        (["random", "random"], ValueError, "two that are called 'random'"),
    ]:
        with pytest.raises(error, match=re.escape(why)):
            suite.run(bad)


def test_one_seed_has_no_interval(suite):
    alone = suites.Suite("alone", "", 1, suite.rows[:1])
    found = alone.run("random").score("random", "corner")
    assert np.isfinite(found.mean)
    assert np.isnan([found.low, found.high]).all()


# ------------------------------------------------------------------------------------------- files
def test_a_result_is_saved_and_loaded(suite, result, tmp_path):
    back = suites.load_result(result.save(tmp_path / "sent.json"))
    assert (back.agents, back.refusals, back.suite.digest) == (result.agents, result.refusals, suite.digest)
    for agent, rows in result.scores.items():
        assert back.scores[agent].keys() == rows.keys()
        assert all(np.array_equal(back.scores[agent][name], table) for name, table in rows.items())
    assert back.profile("q_learning")["explore"] == result.profile("q_learning")["explore"]
    more = suites.joined([back, suite.run("bayes")])
    assert list(more.agents) == ["random", "q_learning", "bayes"]
    assert list(more.of(["bayes", "random"]).agents) == ["bayes", "random"]
    with pytest.raises(ValueError, match="share the agent"):
        suites.joined([more, result])
    with pytest.raises(ValueError, match="other digests"):
        suites.joined([result, suites.SuiteResult(suites.Suite("other", "", 2, suite.rows), {}, {}, {})])
    with pytest.raises(ValueError, match=r"must end in \.json"):
        result.save(tmp_path / "sent")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda said: said["agents"]["random"]["rows"]["corner"]["scores"][0].__setitem__(0, 1.0), "has been changed"),
        (lambda said: said["agents"]["random"]["rows"]["corner"]["scores"].pop(), "must be finite numbers (2, 3)"),
        (lambda said: said["agents"]["random"]["rows"].pop("corner"), "not of all rows"),
        (lambda said: said["agents"]["random"].update({"is": "q_learning"}), "has been changed"),
        (lambda said: said["agents"]["random"].update(rows=3), "agent 'random'"),
        (lambda said: said["suite"]["rows"][0].update(episodes=2), "has been changed"),
        (lambda said: said["suite"].pop("rows"), "'rows' is missing"),
        (lambda said: said.pop("digest"), "'digest' is missing"),
    ],
)
def test_a_result_that_was_changed_is_refused(change, why, result, tmp_path):
    file = result.save(tmp_path / "sent.json")
    said = json.loads(file.read_text())
    change(said)
    file.write_text(json.dumps(said))
    with pytest.raises(ValueError, match=re.escape(why)):
        suites.load_result(file)


def test_whoever_is_interrupted_goes_on_where_he_was(suite, tmp_path):
    class Breaks(Stays):
        broken = True

        def act(self, step):
            if self.broken and isinstance(step.observation, dict):
                raise RuntimeError("no power")
            return super().act(step)

    told = []
    with pytest.raises(players.PlayerError, match="no power"):
        suite.run({"mine": Breaks}, out=tmp_path, progress=lambda *now: told.append(now))
    assert told[-1] == ("mine", 18, 22), "three rows of two seeds and three tasks, of all lives"
    with pytest.raises(FileExistsError, match="resume=True"):
        suite.run({"mine": Breaks}, out=tmp_path)
    Breaks.broken, made = False, Breaks.made
    whole = suite.run({"mine": Breaks}, out=tmp_path, resume=True, progress=lambda *now: told.append(now))
    assert Breaks.made == made + 1, "it is made anew in the box alone"
    assert told[-1] == ("mine", 22, 22)
    direct = suite.run({"mine": Breaks})
    assert all(np.array_equal(whole.scores["mine"][name], table) for name, table in direct.scores["mine"].items())
    made = Breaks.made
    again = suite.run({"mine": Breaks}, out=tmp_path, resume=True)
    assert Breaks.made == made
    assert again.scores["mine"]["box"].tolist() == whole.scores["mine"]["box"].tolist()
    suite.run({"mine": Breaks}, out=tmp_path, overwrite=True)
    assert Breaks.made > made


def test_what_somebody_else_lived_is_not_taken(suite, tmp_path):
    suite.run({"mine": "q_learning"}, out=tmp_path)
    with pytest.raises(ValueError, match="is not what 'mine' does in row 'corner'"):
        suite.run({"mine": "random"}, out=tmp_path, resume=True)
    more = suites.Suite(suite.name, suite.about, 3, suite.rows)
    with pytest.raises(ValueError, match="is not what 'mine' does in row 'corner'"):
        more.run({"mine": "q_learning"}, out=tmp_path, resume=True)
    for wrong in ({"resume": True}, {"resume": True, "overwrite": True, "out": tmp_path}):
        with pytest.raises(ValueError, match="resume=True"):
            suite.run("random", **wrong)


def test_a_language_model_is_asked_in_each_row(suite):
    model = players.LanguageModel("nobody", base_url="http://localhost:1/v1")
    forecast = suite.forecast(model)
    lives = {"corner": 6 * 3, "room": 6 * 2 * 4, "regression": 6 * 2, "box": 4 * 2 * 6}
    assert forecast.requests == pytest.approx(sum(lives.values()), rel=0.35), "a sentence may take two steps"


def test_a_language_model_plays_beside_others_and_is_asked_nothing_twice(suite, tmp_path):
    scripted = an_example.load("scripted_endpoint.py")
    with scripted.Endpoint() as endpoint:
        spent, whole = (
            players.LanguageModel("scripted", base_url=endpoint.url, key_from="NO_SUCH_KEY", requests=most)
            for most in (20, None)
        )
        with pytest.raises(players.PlayerError, match="budget of 20 requests is spent"):
            suite.run({"model": spent}, out=tmp_path)
        assert [path.parent.parent.name for path in tmp_path.rglob("result.json")] == ["corner"]
        result = suite.run({"model": whole, "random": "random"}, out=tmp_path, resume=True)
        asked = len(endpoint.asked)
        suite.run({"model": whole}, out=tmp_path, resume=True)
        assert len(endpoint.asked) == asked
    assert set(result.scores["model"]) == {row.name for row in suite.rows}
    said = [line for path in tmp_path.rglob("transcript*.jsonl") for line in path.read_text().splitlines()[1:]]
    assert len(list(tmp_path.rglob("transcript*.jsonl"))) == len(suite.rows)
    assert asked == len(said), "every question is written down once"


# ------------------------------------------------------------------------------------------- pictures and commands
def test_pictures_leave_nothing_out_and_clip_nothing_unsaid(result, tmp_path):
    pytest.importorskip("matplotlib")
    assert report.draw_profiles(result, tmp_path / "p.png").stat().st_size > 20_000
    low, high = report._ends(result)
    scores = [result.score(agent, name).mean for agent, rows in result.scores.items() for name in rows]
    assert max(report._LOWEST, min(scores)) >= low
    assert max(scores) <= high


def test_the_command_scores_agents_and_goes_on(tiny, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")

    def command(*arguments):
        monkeypatch.setattr(sys, "argv", ["metarl-envs", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    status, told, errors = command("evaluate", "--suite", str(tiny), "q_learning", "test_suites:Chooses")
    assert status == 2, "the module is not on the path"
    monkeypatch.setitem(sys.modules, "mine", sys.modules[__name__])
    status, told, errors = command("evaluate", "--suite", str(tiny), "q_learning", "mine:Chooses")
    assert (status, errors) == (0, "")
    for word in (
        "explore",
        "  corner",
        "mine:Chooses",
        "(1/2)",
        "n/a",
        "q_learning cannot play regression",
        "nothing is clipped",
    ):
        assert word in told, told
    folder = tmp_path / "results" / "suite-tiny"
    assert {"suite.json", "suite.md", "rows"} <= {path.name for path in folder.iterdir()}
    assert list(suites.load_result(folder / "suite.json").agents) == ["q_learning", "mine:Chooses"]
    assert "--resume, or --overwrite" in command("evaluate", "--suite", str(tiny), "random")[2]
    assert command("evaluate", "--suite", str(tiny), "random", "--resume")[0] == 0
    assert list(suites.load_result(folder / "suite.json").agents) == ["random"]
    model = ("--model", "m", "--base-url", "http://localhost:1/v1")
    assert "requests" in command("evaluate", "--suite", str(tiny), *model, "--dry-run")[1]
    for arguments, why in [
        (("--suite", str(tiny)), "needs an agent"),
        (("--suite", str(tiny), "random", "--tasks", "100"), "--tasks does not go with --suite"),
        (("--suite", str(tiny), "--policy", "random"), "name agents behind it"),
        (("--suite", str(tiny), "random", "--dry-run"), "--dry-run goes with --model"),
        (("--suite", "core2", "random"), "did you mean 'core-1'"),
        (("DarkRoom", "random"), "takes one id"),
        ((), "takes one id"),
    ]:
        status, _, errors = command("evaluate", *arguments)
        assert (status, why in errors) == (2, True), (arguments, errors)


def test_suites_are_listed_with_their_rows(monkeypatch, capsys):
    for arguments, words in [
        (("list", "suites"), ("core-1", "quick", "boxes-1", "capabilities")),
        (("list", "core-1"), ("gap-bandit (explore)", "BanditBench", "Digest", "MetaRL/TwoStep-v0")),
    ]:
        monkeypatch.setattr(sys, "argv", ["metarl-envs", *arguments])
        with pytest.raises(SystemExit):
            main()
        told = " ".join(capsys.readouterr().out.split())
        assert all(word in told for word in words), told


# ------------------------------------------------------------------------------------------- the board
PAGE = Path(__file__).parents[1] / "docs" / "board.md"


@pytest.mark.skipif(not PAGE.exists(), reason="no pages here")
def test_the_code_of_the_board_runs(tiny, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)
    exec(compile(code.replace('"quick"', repr(str(tiny))).replace("dark-room", "room"), "board.md", "exec"), {})
    assert list(suites.load_result("quick.json").agents) == ["q_learning", "random"]


@pytest.mark.skipif(not PAGE.exists(), reason="no pages here")
def test_the_board_names_every_suite_with_its_rows():
    said = dict(re.findall(r"^\| `([\w-]+)` \| (\d+)", PAGE.read_text(), flags=re.MULTILINE))
    assert said == {name: str(len(suites.load(name).rows)) for name in suites.names()}
