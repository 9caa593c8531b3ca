"""The example on regression: what it asks a network about, and which networks it takes from a folder.

That it runs is tested in test_examples.py.
"""

from dataclasses import replace

import pytest
from rich.console import Console

import metarl_envs
from metarl_envs.evaluation.likeness import MOST_LENGTHS
from tests.an_example import load

pytestmark = [pytest.mark.slow, pytest.mark.plain]
pytest.importorskip("torch")
pytest.importorskip("tyro", reason='needs tyro (pip install "metarl-envs[examples]")')


def test_a_network_is_asked_about_prompts_as_long_as_those_that_it_was_trained_on(tmp_path):
    example = load("regression_transformer.py")
    args = example.Args(dimensions=3, steps=1, batch=1, width=8, heads=2, layers=1, out=tmp_path)
    model = example.trained(args, Console(quiet=True))
    policies = {"transformer": lambda **given: example.Transformer(model, **given)}
    result = metarl_envs.evaluate(example.ID, policies, split="test", tasks=2, seeds=1, **args.params)
    assert result.runs["transformer"].steps.tolist() == [7] * 2


def test_prompts_of_more_lengths_than_can_be_told_are_refused_before_training(tmp_path):
    example = load("regression_transformer.py")
    with pytest.raises(SystemExit, match=f"--dimensions 50: prompts have 101 lengths, and {MOST_LENGTHS} can be told"):
        example.main(example.Args(dimensions=50, out=tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_network_that_was_trained_with_other_settings_is_refused(tmp_path):
    console, example = Console(quiet=True), load("regression_transformer.py")
    args = example.Args(steps=2, batch=2, width=8, heads=2, layers=1, out=tmp_path)
    trained = example.trained(args, console).state_dict()
    again = example.trained(replace(args, tasks=3), console).state_dict()  # what is set for the comparison alone
    assert all((trained[name] == again[name]).all() for name in trained)
    with pytest.raises(SystemExit, match=r"seed_0\.pt was trained with other settings .*give another --out"):
        example.trained(replace(args, noise=0.5), console)
