"""The doors of `metarl_envs.protocols`, each tried with its library, in environments of their own (see .ci/protocols).

A test is skipped where its library is missing. Scripted players walk three steps up in a dark room, where the goal is.
"""

import asyncio
import contextlib
import gc
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from types import SimpleNamespace

import pytest

from metarl_envs.evaluation.references import TrialScale
from metarl_envs.players import load
from metarl_envs.protocols import list_trials

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]
TRIAL = list_trials("DarkRoom", split="test", episodes_per_trial=2, horizon=3)[0]  # "up" three times stands on the goal
#: Two days of two steps.
DAYS = {"horizon": 4, "preset": "small", "day": 2}


def needed(module):
    """Skip a test where its library is missing, unless this run is there for that library."""
    if module.partition(".")[0] in os.environ.get("METARL_PROTOCOLS", "").split(","):
        importlib.import_module(module)
    pytest.importorskip(module, reason=f"needs {module.partition('.')[0]}")


def command(name):
    """A console script of this environment."""
    return str(Path(sys.executable).parent / name)


def until_it_answers(url, server):
    for _ in range(600):
        assert server.poll() is None, server.stderr.read()
        with contextlib.suppress(OSError), urllib.request.urlopen(url) as answer:
            return answer.read()
        time.sleep(0.1)
    raise AssertionError(f"{url} does not answer")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


# ------------------------------------------------------------------------------------------------- TRL
def scripted_policy(sentences):
    """A tiny model of random weights and its tokenizer, of bytes; row k of a batch calls the tool with sentence k."""
    import torch
    import trl
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    inner = Tokenizer(models.BPE(vocab={letter: k for k, letter in enumerate(letters)}, merges=[]))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, eos_token="<|im_end|>", pad_token="<|endoftext|>")
    tokenizer.add_tokens(["<|im_start|>", "<tool_call>", "</tool_call>", "<think>", "</think>"])
    tokenizer.chat_template = (Path(trl.__file__).parent / "chat_templates" / "qwen3.jinja").read_text()
    heads = {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8}
    ends = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": tokenizer.eos_token_id}
    model = Qwen3ForCausalLM(Qwen3Config(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, **heads, **ends))

    def generate(input_ids, **_):
        replies = []
        for asked, sentence in zip(input_ids, sentences, strict=True):
            call = json.dumps({"name": "act", "arguments": {"sentence": sentence}})
            over = tokenizer.decode(asked).count("The trial is over.")
            said = "I see." if over else f"<tool_call>\n{call}\n</tool_call>"
            replies.append(tokenizer(f"{said}<|im_end|>")["input_ids"])
        longest = max(map(len, replies))
        padded = [reply + [tokenizer.pad_token_id] * (longest - len(reply)) for reply in replies]
        return torch.cat([input_ids, torch.tensor(padded)], dim=1)

    model.generate = generate
    return model, tokenizer


@pytest.mark.filterwarnings("ignore")  # of what TRL and transformers deprecate in each other
def test_trl_trains_a_step(tmp_path):
    """GRPOTrainer itself, in which two of four rollouts go up to the goal: what they are paid is the reward."""
    needed("trl")
    from datasets import Dataset
    from transformers.utils import get_json_schema
    from trl import GRPOConfig, GRPOTrainer

    from metarl_envs.protocols.trl import PROMPT, TextTrial

    model, tokenizer = scripted_policy(["up", "down", "up", "stay"])
    before = model.lm_head.weight.detach().clone()
    one = {"prompt": PROMPT, **list_trials("DarkRoom", split="test", horizon=3)[0]}
    how = {"per_device_train_batch_size": 4, "num_generations": 4, "max_steps": 1, "max_completion_length": 2000}
    quiet = {"report_to": [], "save_strategy": "no", "logging_steps": 1, "use_cpu": True, "bf16": False, "disable_tqdm": True}
    trainer = GRPOTrainer(
        model=model,
        processing_class=tokenizer,
        args=GRPOConfig(output_dir=str(tmp_path), learning_rate=0.01, **how, **quiet),
        train_dataset=Dataset.from_list([one]),
        environment_factory=TextTrial,
    )
    [tool] = trainer.tools
    assert get_json_schema(tool)["function"]["parameters"]["required"] == ["sentence"]
    trainer.train()
    [told, *_] = trainer.state.log_history
    assert told["rewards/TextTrial/mean"] == 0.5
    assert (told["tools/call_frequency"], told["tools/failure_frequency"]) == (3, 0)
    assert [env._env.total for env in trainer.environments] == [1, 0, 1, 0]
    assert (model.lm_head.weight != before).any()


# ------------------------------------------------------------------------------------------------- MCP
def told(result):
    return result.content[0].text


async def up_to_the_end(client):
    """What a client is told who looks, and goes up in each step; and what is said after the end."""
    tools = {tool.name: tool for tool in (await client.list_tools()).tools}
    assert set(tools) == {"look", "act"}
    schema = getattr(tools["act"], "inputSchema", None) or tools["act"].input_schema
    assert schema["required"] == ["sentence"]
    found = [told(await client.call_tool("look", {}))]
    for _ in range(6):
        found.append(told(await client.call_tool("act", {"sentence": "up"})))
    assert told(await client.call_tool("act", {"sentence": "up"})) == "The trial is over."
    return found


def in_memory(server):
    if importlib.util.find_spec("mcp.server.mcpserver"):
        from mcp.client import Client

        return Client(server)
    from mcp.shared.memory import create_connected_server_and_client_session

    return create_connected_server_and_client_session(server._mcp_server)


def test_mcp_in_memory():
    """Each session has a trial of its own."""
    needed("mcp")
    from metarl_envs.protocols.mcp import server

    ended = []

    async def both():
        served = server(TRIAL, ended.append)
        async with in_memory(served) as one, in_memory(served) as other:
            assert "no action" in told(await other.call_tool("act", {"sentence": "fly"}))
            found = await up_to_the_end(one)
            assert told(await other.call_tool("look", {})) == found[0], "as if nobody had moved"
        return found

    found = asyncio.run(both())
    assert "You can say" in found[0]
    assert "It paid 1." in found[3]
    assert "It paid 1." in found[6]
    assert sorted((env.total, len(env.actions), env.malformed) for env in ended) == [(0.0, 0, 1), (2.0, 6, 0)]
    with pytest.raises(IndexError):
        server({**TRIAL, "index": 99})


def test_mcp_over_stdio(tmp_path):
    needed("mcp")
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    options = ["--split", "test", "--episodes", "2", "--param", "horizon=3", "--out", str(tmp_path / "run")]
    started = StdioServerParameters(
        command=sys.executable, args=["-m", "metarl_envs.cli", "mcp", "DarkRoom", *options], env=dict(os.environ)
    )

    async def play():
        with open(tmp_path / "errors", "w") as errors:
            async with stdio_client(started, errlog=errors) as streams, ClientSession(*streams) as client:
                await client.initialize()
                return await up_to_the_end(client)

    assert "It paid 1." in asyncio.run(play())[6]
    assert (tmp_path / "errors").read_text().strip() == "2 was earned in 6 steps; the trial is over"
    run = load(tmp_path / "run")
    assert (run.actions.tolist(), run.returns.tolist(), run.seats) == ([[1] * 6], [2.0], ("mcp",))


def test_a_client_with_the_settings_of_the_page_is_served(tmp_path):
    """As a client does that reads `{"mcpServers": {...}}`: the command is found on its path."""
    needed("mcp")
    from mcp import ClientSession, StdioServerParameters
    from mcp.client.stdio import stdio_client

    page = (Path(__file__).parents[1] / "docs" / "protocols.md").read_text()
    [settings] = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    [(_, told_to)] = json.loads(settings)["mcpServers"].items()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started = StdioServerParameters(**told_to, env={**os.environ, "PATH": path}, cwd=tmp_path)

    async def play():
        async with stdio_client(started) as streams, ClientSession(*streams) as client:
            await client.initialize()
            offered = {tool.name for tool in (await client.list_tools()).tools}
            return offered, told(await client.call_tool("look", {})), told(await client.call_tool("act", {"sentence": "up"}))

    offered, rules, after = asyncio.run(play())
    assert offered == {"look", "act"}
    assert "You can say" in rules
    assert "You did: up." in after


# ------------------------------------------------------------------------------------------------- OpenEnv
def test_openenv():
    """`openenv validate`, the routes of splits, and two sessions side by side."""
    needed("openenv.core")
    from openenv.core import GenericEnvClient

    url = f"http://127.0.0.1:{(port := free_port())}"
    options = ["--split", "train", "--episodes", "2", "--param", "horizon=3", "--port", str(port)]
    starting = [sys.executable, "-m", "metarl_envs.cli", "openenv", "DarkRoom", *options]
    server = subprocess.Popen(starting, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        until_it_answers(f"{url}/health", server)
        checked = subprocess.run([command("openenv"), "validate", url], capture_output=True, text=True, timeout=60)
        assert checked.returncode == 0, checked.stdout
        assert checked.stdout.count("PASS  ") == 6
        assert "FAIL" not in checked.stdout
        splits = json.loads(urllib.request.urlopen(f"{url}/metarl_envs/splits").read())
        assert [split["name"] for split in splits] == ["all", "train", "validation", "test"]
        assert asked(f"{url}/metarl_envs/num_tasks", split="test") == {"num_tasks": 17}
        assert asked(f"{url}/metarl_envs/task", split="test", index=16) == {"task": {"split": "test", "index": 16}}
        assert len(asked(f"{url}/metarl_envs/task_range", split="test", start=15)["tasks"]) == 2
        with GenericEnvClient(base_url=url).sync() as one, GenericEnvClient(base_url=url).sync() as other:
            sessions(one, other)
    finally:
        server.terminate()
        server.communicate(timeout=30)


def asked(url, **body):
    question = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    return json.loads(urllib.request.urlopen(question).read())


def sessions(one, other):
    """Two sessions on one task: each has its own trial, and all that it is paid."""
    first = [client.reset(split="test", index=0, seed=5) for client in (one, other)]
    assert first[0].observation == first[1].observation
    assert "You can say" in first[0].observation["text"]
    assert first[0].observation["memory_reset"]
    results = [one.step({"sentence": "up"}) for _ in range(6)]
    assert [result.reward for result in results] == [0, 0, 1, 0, 0, 1]
    assert [result.done for result in results] == [False] * 5 + [True]
    assert one.state()["outcome"]["return"] == 2
    assert one.state()["trial"]["seed"] == 5
    refused = [other.step({"sentence": said}) for said in ("up", "up", "up", "fly")]
    assert [result.reward for result in refused] == [0, 0, 1, 0], "what was no step pays nothing, and nothing twice"
    assert other.state()["step_count"] == 3
    assert other.state()["outcome"] is None
    for wrong in ({"index": 99, "split": "test"}, {"split": "tests"}, {"episodes": 3}, {"index": "../x"}):
        with pytest.raises(RuntimeError, match=r"must be|outside|is not a split|reset takes"):
            other.reset(**wrong)
    assert other.step({"sentence": "up"}).reward == 0, "a reset that was refused changes nothing"
    assert [other.reset() and other.state()["trial"] for _ in range(2)] == [
        {**TRIAL, "split": "train", "seed": seed, "index": seed} for seed in (6, 7)
    ]


# ------------------------------------------------------------------------------------------------- verifiers
class Player:
    """Answers as an agent of verifiers does, and remembers what each conversation was told."""

    def __init__(self, reply="up", turns=None):
        self.reply, self.turns, self.conversations, self.traces = reply, turns, [], []

    @contextlib.asynccontextmanager
    async def interaction(self, task):
        asked, trace = [task.data.prompt], SimpleNamespace(metrics={}, rewards={})
        trace.record_metrics, trace.record_reward = trace.metrics.update, trace.rewards.__setitem__
        self.conversations.append(asked)
        self.traces.append(trace)

        async def turn(message=None):
            asked.extend([] if message is None else [message])
            over = self.turns is not None and len(asked) > self.turns
            reply = self.reply(asked[-1], len(asked)) if callable(self.reply) else self.reply
            return SimpleNamespace(terminated=over, last_reply="" if over else reply)

        yield SimpleNamespace(turn=turn, trace=trace)


def combining(told, asked):
    """One pair of what is held after the other."""
    held = told.split("You have: ")[-1].split(".")[0].split(", ")
    pairs = [(one, other) for one in held for other in held]
    return "Answer: combine {} with {}.".format(*pairs[asked % len(pairs)])


def test_verifiers_has_an_agent_in_each_seat_of_a_box():
    """What each is paid, in each day, is what the box pays when the same is said."""
    needed("verifiers.v1")
    from metarl_envs.boxes import TextBox, amnesia_v0
    from metarl_envs.protocols.verifiers_boxes import TextBoxEnv

    params = {"agents": 2, "preset": "small", "horizon": 24, "day": 12}
    [trial] = list_trials("AmnesiaBox", tasks=1, seed=3, **params)
    one, other = Player(combining), Player("wait")
    play_seats(TextBoxEnv, trial, one, other)
    box = TextBox(amnesia_v0.parallel_env(**params), lenient=True)
    texts, infos = box.reset(seed=3, options={"task": 0})
    paid, asked = [[0.0, 0.0], [0.0, 0.0]], 0
    for step in range(24):
        said = None
        if not infos["agent_0"]["busy"]:
            asked = 1 if infos["agent_0"]["memory_reset"] else asked + 1
            said = combining(texts["agent_0"], asked)
        texts, rewards, _, _, infos = box.step({"agent_0": said, "agent_1": "wait"})
        for seat, reward in enumerate(rewards.values()):
            paid[seat][step // 12] += reward
    assert sum(paid[0]) > 0
    assert [[trace.rewards["paid"] for trace in player.traces] for player in (one, other)] == paid
    assert [len(told) for told in other.conversations] == [12, 12]
    assert [told[0].count("You can say") for told in one.conversations] == [1, 1]
    assert one.conversations[0][0] != one.conversations[1][0]
    assert [trace.metrics for trace in other.traces] == [{}, {"malformed": 0}]
    silent = Player("wait", turns=3)
    play_seats(TextBoxEnv, trial, silent, Player("wait"))
    assert [len(told) for told in silent.conversations] == [4, 4], "it is asked no more until it begins anew"
    with pytest.raises(ValueError, match="a box of 5 agents"):
        play_seats(TextBoxEnv, {**trial, "params": '{"agents": 5}'})
    with pytest.raises(ValueError, match="episodes_per_trial=2: a whole box is one episode"):
        play_seats(TextBoxEnv, {**trial, "episodes_per_trial": 2})


def play_seats(env, trial, *players):
    from metarl_envs.protocols.verifiers import TrialData, TrialTask

    agents = SimpleNamespace(**{f"seat{i}": player for i, player in enumerate(players)})
    asyncio.run(env.run(None, TrialTask(TrialData(name="one", prompt="", trial=trial)), agents))


def played(trial, player):
    from metarl_envs.protocols.trials import open_trial
    from metarl_envs.protocols.verifiers import TextTrialsEnv, TrialData, TrialTask

    task = TrialTask(TrialData(name="one", prompt=open_trial(trial).reset(), trial=trial))
    asyncio.run(TextTrialsEnv.run(None, task, SimpleNamespace(player=player)))
    return player


def test_verifiers_pays_all_that_was_earned(monkeypatch):
    needed("verifiers.v1")
    [whole], [told] = (player := played(TRIAL, Player())).traces, player.conversations
    assert (whole.rewards, whole.metrics["return"], whole.metrics["steps"]) == ({"paid": 2.0}, 2.0, 6)
    assert len(told) == 6
    assert "You can say" in told[0]
    [cut] = played(TRIAL, Player(turns=4)).traces
    assert (cut.rewards, cut.metrics["return"], cut.metrics["steps"]) == ({"paid": 1.0}, 1.0, 4)
    monkeypatch.setattr("metarl_envs.text.env.trial_scale", lambda *_: TrialScale(0.0, float("nan")))
    days = played(list_trials("AmnesiaBox", tasks=1, **DAYS)[0], Player("wait"))
    assert [len(told) for told in days.conversations] == [2, 2], "a new conversation after each dawn"
    assert [told[0].count("You can say") for told in days.conversations] == [1, 1]
    assert [trace.rewards for trace in days.traces] == [{"paid": 0.0}] * 2
    assert [sorted(trace.metrics) for trace in days.traces] == [[], ["malformed", "return", "steps"]]


def test_vf_eval_on_a_scripted_endpoint(tmp_path):
    needed("verifiers.v1")
    from examples.scripted_endpoint import Endpoint

    with Endpoint(reply=lambda messages: "Answer: up.") as endpoint:
        options = ["--env.taskset.split", "test", "--env.taskset.tasks", "1", "--env.taskset.params", '{"horizon": 3}']
        options += ["--no-push", "--no-rich", "--client.base-url", endpoint.url, "--client.api-key-var", "NO_KEY"]
        starting = [command("vf-eval"), "metarl-verifiers", "-m", "scripted", "-r", "2", *options]
        settings = {**os.environ, "NO_KEY": "none", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
        done = subprocess.run(starting, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    [file] = tmp_path.rglob("traces.jsonl")
    episodes = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(episodes) == 2
    for episode in episodes:
        assert episode["ok"], episode["errors"]
        [trace] = episode["traces"]
        assert trace["rewards"]["paid"]["score"] == 1
        assert (trace["metrics"]["return"], trace["metrics"]["steps"], trace["metrics"]["malformed"]) == (1, 3, 0)


# ------------------------------------------------------------------------------------------------- inspect_ai
def scripted_model(asked):
    """The name of a model that says up."""
    from inspect_ai.model import ModelAPI, ModelOutput, modelapi

    class Up(ModelAPI):
        async def generate(self, input, tools, tool_choice, config):
            asked.append([message.text for message in input])
            return ModelOutput.from_content("up", "Answer: up.")

    modelapi("scripted")(lambda: Up)
    return "scripted/up"


def evaluated(model, folder, limit=None, **task_args):
    from inspect_ai import eval as evaluate

    how = {"display": "none", "log_dir": str(folder), "epochs": 2, "message_limit": limit}
    [log] = evaluate("metarl_envs/trials", model=model, task_args=task_args, **how)
    gc.collect()
    assert log.status == "success", log.error
    return [sample.scores["returns"].value for sample in log.samples], log


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # inspect_ai leaves streams open
def test_inspect_eval_with_a_scripted_model(tmp_path, monkeypatch):
    needed("inspect_ai")
    monkeypatch.chdir(tmp_path)
    asked = []
    model = scripted_model(asked)
    here = {"tasks": 1, "episodes_per_trial": 2, "params": {"horizon": 3}}
    scores, log = evaluated(model, tmp_path, **here)
    assert [(score["return"], score["regret"], score["steps"]) for score in scores] == [(2, 0, 6)] * 2
    assert {score.name: score.metrics["mean"].value for score in log.results.scores}["return"] == 2
    assert sorted(map(len, asked)) == sorted([1, 3, 5, 7, 9, 11] * 2)
    assert asked[0][0].count("You can say") == 1
    scores, log = evaluated(model, tmp_path, limit=5, **here)
    assert {sample.limit.type for sample in log.samples} == {"message"}
    assert [score["return"] for score in scores] == [0, 0], "what is left unplayed is played by default actions"
    asked.clear()
    monkeypatch.setattr("metarl_envs.text.env.trial_scale", lambda *_: TrialScale(0.0, float("nan")))
    scores, _ = evaluated(model, tmp_path, id="AmnesiaBox", tasks=1, params=DAYS)
    assert [score["return"] for score in scores] == [0, 0]
    assert sorted(map(len, asked)) == sorted([1, 3, 5, 7, 9, 11] * 2 * 2), "each day is a new conversation"
