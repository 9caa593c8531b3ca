"""The command line, as people call it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from typer.testing import CliRunner

import metarl_envs
from metarl_envs.cli import app, main

COMMAND = [sys.executable, "-m", "metarl_envs.cli"]


def command(*arguments, cwd, **environment):
    setting = {"COLUMNS": "120", "PYTHONIOENCODING": "utf-8", **environment}
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=cwd,
        capture_output=True,
        timeout=300,
        encoding=setting["PYTHONIOENCODING"],
        env={**os.environ, **setting},
    )


@pytest.mark.slow
def test_evaluate_prints_a_table_and_writes_files(tmp_path):
    done = command("evaluate", "MetaRL/DarkRoom-v0", "--episodes", "5", "--param", "size=5", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for word in ("q_learning", "oracle", "sweep", "random", "AULC", "curves.png"):
        assert word in done.stdout
    folder = tmp_path / "results" / "DarkRoom-test"
    assert json.loads((folder / "result.json").read_text())["params"]["size"] == 5
    assert (folder / "curves.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["evaluate", "MetaRL/Nowhere-v0"], "Nowhere"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "size=0"], "size=0"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "size"], "name=value"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--split", "tset"], "tset"),
        (["evaluate", "MetaRL/TMaze-v0", "--split", "test"], "split='all' has them"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--policy", "nobody"], "nobody"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--episodes", "0"], "episodes=0"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "seed=3"], "no parameter of a family: see --help for an option --seed"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "size=5", "--param", "size=6"], "size is given twice"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--out", f"{__file__}/x"], f"{__file__} is a file"),
        (["play", "MetaRL/DarkRoom-v0", "--episodes", "0"], "episodes=0"),
        (["list", "[/foo]"], "id='[/foo]' is not a family"),
        (["list", "darkrom"], "did you mean 'DarkRoom'?"),
        (["list", "parameters"], "list parameters needs an id"),
        (["play", "DarkRoom", "--text", "--split", "test", "--index", "99"], "task index 99 is outside of"),
        (["list", "wrappers", "DarkRoom"], "list wrappers takes no id"),
        (["evaluate", "MetaRL/DarkRoom-v0", "--param", "sise=5"], "did you mean 'size'?"),
        (["collect", "DarkRoom", "qlearning", "--out", "x"], "did you mean 'q_learning'?"),
        (["verdict", "q_learning:", "DarkRoom"], "agent='q_learning:' must be the name of a player, or module:Name"),
        (["verdict", "nowhere:Mine", "DarkRoom"], "agent='nowhere:Mine' names a module that is not found"),
        (["verdict", "json:Mine", "DarkRoom"], "agent='json:Mine': json has no 'Mine'"),
        (["verdict", "q_learning", "DarkRoom", "--tasks", "1"], "tasks=1 must be an integer of at least 2"),
    ],
)
def test_mistakes_are_one_clear_line(arguments, why, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["metarl-envs", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert why in printed.err
    assert (printed.out, len(printed.err.splitlines())) == ("", 1)
    assert not list(tmp_path.iterdir())


def test_list_shows_every_id_and_one_page(tmp_path):
    from metarl_envs.catalogue import HEADINGS
    from metarl_envs.ids import TABLE

    listed = command("list", cwd=tmp_path).stdout
    assert all(row.id in listed for row in TABLE)
    page = command("list", "MetaRL/DarkRoom-v0", cwd=tmp_path).stdout
    assert all(heading in page for heading in HEADINGS)


@pytest.mark.parametrize("what", ["environments", "learners", "players", "networks", "wrappers", "parameters"])
def test_what_there_is_can_be_read_by_programs(what, monkeypatch, capsys):
    from metarl_envs.catalogue import LISTS, parameters

    whose = ["DarkRoom"] if what == "parameters" else []
    monkeypatch.setattr(sys, "argv", ["metarl-envs", "list", what, *whose, "--json"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    listing = parameters("DarkRoom") if whose else LISTS[what]()
    told = json.loads(capsys.readouterr().out)
    assert [tuple(entry.values()) for entry in told] == listing.rows
    assert all(entry[listing.columns[-1]] for entry in told), "each says what it is"


def test_whatever_network_is_listed_can_be_looked_at(monkeypatch, capsys):
    from metarl_envs.players.networks.shipped import NAMES

    for name in NAMES:
        monkeypatch.setattr(sys, "argv", ["metarl-envs", "list", name])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        assert capsys.readouterr().out.strip()


def test_parameters_are_listed_as_they_are_taken():
    from metarl_envs.catalogue import parameters

    assert parameters("DarkRoom").rows[0] == ("size", "9", "from 2 to 181")


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["metarl-envs", "--version"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    assert f"metarl-envs {metarl_envs.__version__}, gymnasium {gym.__version__}" in capsys.readouterr().out


@pytest.mark.parametrize("width", [40, *(pytest.param(width, marks=pytest.mark.slow) for width in (80, 200))])
def test_list_loses_no_word_at_any_width(width, tmp_path):
    from metarl_envs.catalogue import entries, read_page

    listed = command("list", cwd=tmp_path, COLUMNS=str(width)).stdout
    assert max(map(len, listed.splitlines())) <= width
    found = listed.replace("-", "").split()
    for entry in entries():
        assert entry.id.replace("-", "") in found
        assert set(entry.summary.replace("-", "").split()) <= set(found)
    entry = next(entry for entry in entries() if 'task["move"][a]' in str(entry.page["Actions"]))
    page = command("list", entry.id, cwd=tmp_path, COLUMNS=str(width)).stdout
    assert max(map(len, page.splitlines())) <= width
    assert page.split() == [
        word for pair in [("", read_page(entry.family)[0]), *entry.page.items()] for word in " ".join(pair).split()
    ]


def test_help_says_what_is_done_by_default():
    for name, defaults in (
        ("evaluate", ["100, or 1", "results/NAME", "all that"]),
        ("play", ["5, or 1", "random"]),
        ("collect", ["one a core"]),
    ):
        told = " ".join(CliRunner().invoke(app, [name, "--help"]).output.split())
        assert all(f"[default: {default}" in told for default in defaults)


# ------------------------------------------------------------------------------------------- terminals of all kinds
SMALL = ("evaluate", "DarkRoom", "--policy", "random", "--tasks", "2", "--episodes", "1", "--seeds", "2", "--lifetimes", "1")
WRITTEN = ["curves.png", "result.json", "runs", "scores.npz"]


@pytest.mark.parametrize(
    "settings", [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "cp1252", "TERM": "dumb", "COLUMNS": "40"}]
)
def test_a_table_is_printed_in_whatever_signs_and_width_the_terminal_has(settings, tmp_path):
    done = command(*SMALL, "--out", "ev", cwd=tmp_path, **settings)
    assert (done.returncode, said(done.stderr)) == (0, [])
    assert "random" in done.stdout
    assert ("+-" if settings["PYTHONIOENCODING"] == "ascii" else "AULC") in done.stdout
    assert sorted(path.name for path in (tmp_path / "ev").iterdir()) == WRITTEN
    for name in ("AULC", "first", "last", "gain", "20 %", "return"):
        assert name in done.stdout
    assert "…" not in done.stdout, "no number is cut off"
    assert "..." not in done.stdout


def said(errors):
    """The lines of standard error, but for those about compiling, which takes a while where it is done for the first time."""
    return [line for line in errors.splitlines() if not line.startswith("metarl_envs: compiling")]


def _closed(arguments, cwd):
    """Both streams closed, as under some schedulers."""
    return subprocess.run(["sh", "-c", '"$@" >&- 2>&-', "sh", *COMMAND, *arguments], cwd=cwd, capture_output=True).returncode


def _broken_pipe(arguments, cwd):
    """Into a pipe that nobody reads, as after `| head`."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run([*COMMAND, *arguments], cwd=cwd, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert not said(done.stderr), "and no traceback"
    return done.returncode


def _full(arguments, cwd):
    """Onto a disk that is full."""
    with open("/dev/full", "w") as full:
        done = subprocess.run([*COMMAND, *arguments], cwd=cwd, stdout=full, stderr=subprocess.PIPE, text=True)
    assert said(done.stderr) == ["metarl-envs: [Errno 28] No space left on device"]
    return done.returncode


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize(
    ("where", "status"),
    [(_broken_pipe, 1), *(pytest.param(*case, marks=pytest.mark.slow) for case in ((_closed, 0), (_full, 2)))],
)
def test_what_was_computed_is_kept_where_nothing_can_be_printed(where, status, tmp_path):
    assert where([*SMALL, "--out", "ev"], tmp_path) == status
    assert sorted(path.name for path in (tmp_path / "ev").iterdir()) == WRITTEN


@pytest.mark.slow
@pytest.mark.parametrize("where", [_closed, _broken_pipe, _full])
def test_no_command_ends_in_a_traceback_where_nothing_can_be_printed(where, tmp_path):
    assert (
        command("collect", "DarkRoom", "random", "--out", "h", "--histories", "2", "--steps", "9", cwd=tmp_path).returncode == 0
    )
    for arguments in (["list"], ["list", "DarkRoom"], ["histories", "info", "h"], ["histories", "verify", "h"], ["--help"]):
        where(arguments, tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="screens of Linux")
def test_without_a_screen_play_says_so_and_nothing_else(tmp_path):
    setting = {
        name: value
        for name, value in os.environ.items()
        if name not in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER")
    }
    done = subprocess.run([*COMMAND, "play", "DarkRoom"], cwd=tmp_path, capture_output=True, text=True, env=setting)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("metarl-envs: there is no screen")
    assert len(done.stderr.splitlines()) == 1


def test_histories_are_collected_told_of_verified_and_exchanged(tmp_path, monkeypatch, capsys):
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")

    def here(*arguments):
        """What the command does in this process, which is sooner begun than one of its own: its status, and what it prints."""
        monkeypatch.setattr(sys, "argv", ["metarl-envs", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code, *capsys.readouterr()

    small = ("--histories", "5", "--steps", "60", "--param", "size=5", "--internal", "q", "--label", "optimal_action")
    small = (*small, "--split", "train")
    done = command("collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "step_size=0.5", *small, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "5 histories of 60 steps" in done.stdout
    assert "M steps/s a core" in done.stdout
    status, told, _ = here("histories", "info", "h")
    assert status == 0
    for word in ("MetaRL/DarkRoom-v0", '"step_size": 0.5', "float32 [5]", "optimal_action", "mean return", '"train"'):
        assert word in told
    assert "as it was written" in here("histories", "verify", "h")[1]
    assert here("histories", "export", "h", "h.arrow")[0] == 0
    assert "5 histories" in here("histories", "import", "h.arrow", "back")[1]
    reward = next((tmp_path / "h").rglob("reward.npy"))
    reward.write_bytes(reward.read_bytes()[:-1] + b"\1")
    status, _, why = here("histories", "verify", "h")
    assert status == 2
    assert "has been changed since it was written" in why
    status, _, why = here("collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "step_size=0.5", *small)
    assert status == 2
    assert "--resume" in why


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["collect", "DarkRoom", "nobody", "--out", "h"], "learner 'nobody' does not suit DarkRoom; these do: actor_critic"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--hyper", "stepsize=1"], "stepsize"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--shard", "2/2"], "i-th of n shares"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--workers", "0"], "workers=0"),
        (["collect", "DarkRoom", "q_learning", "--out", "h", "--param", "split=test"], "see --help for an option --split"),
        (["histories", "info", "nowhere"], "nowhere is no folder"),
    ],
)
def test_mistakes_with_histories_are_one_clear_line(arguments, why, tmp_path, monkeypatch, capsys):
    test_mistakes_are_one_clear_line(arguments, why, tmp_path, monkeypatch, capsys)


def test_collect_has_the_default_split_of_python(monkeypatch):
    """One default, and not two; and what is given is passed on as it is."""
    from metarl_envs.histories.plan import Plan
    from metarl_envs.task_sets import DEFAULT_SPLIT

    class PlannedError(Exception):
        pass

    given = []

    def plan(*positional, **named):
        given.append(named)
        raise PlannedError

    monkeypatch.setattr(Plan, "of", plan)
    for more in ([], ["--split", "all"], ["--split", "test"]):
        result = CliRunner().invoke(app, ["collect", "DarkRoom", "random", "--out", "nowhere", *more])
        assert isinstance(result.exception, PlannedError)
    assert [named["split"] for named in given] == [DEFAULT_SPLIT, "all", "test"]


def test_an_agent_in_the_current_folder_is_found_as_the_installed_command_finds_it(tmp_path, monkeypatch):
    """Unlike `python -m`, it does not begin with the current folder on `sys.path`."""
    from metarl_envs.evaluation import verdicts

    class JudgedError(Exception):
        pass

    given = []

    def judge(agent, *_, **__):
        given.append(agent)
        raise JudgedError

    (tmp_path / "agent_of_mine.py").write_text("class Mine:\n    made_by = 'me'\n")
    monkeypatch.setattr(verdicts, "verdict", judge)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", os.getcwd())])
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in sys.path
    result = CliRunner().invoke(app, ["verdict", "agent_of_mine:Mine", "DarkRoom"])
    assert isinstance(result.exception, JudgedError), result.output
    assert given[0].made_by == "me"
    del sys.modules["agent_of_mine"]
