"""Windows for PyTorch: every epoch, rank and worker sees others, and a seed gives the same ones again."""

import pickle

import numpy as np
import pytest

from metarl_envs.histories import History, save


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    pytest.importorskip("torch")  # here, since importing it takes a second or two, which only who runs these tests should wait

    def life(k, steps=100):
        flags = np.arange(steps) == steps - 1
        seen = (1000 * k + np.arange(steps)).astype(np.int32)
        action = np.zeros(steps, np.uint8)
        columns = {
            "observation": seen,
            "action": action,
            "reward": np.ones(steps),
            "terminated": flags,
            "truncated": ~flags & False,
        }
        return History(columns, np.array([steps]), None)

    return save([life(k) for k in range(20)], tmp_path_factory.mktemp("torch") / "h")


def windows(store, **changes):
    from metarl_envs.histories import TorchWindows

    return TorchWindows(store, **{"batch": 4, "length": 8, "batches": 5, **changes})


def seen(batches):
    return [(batch["history"].tolist(), batch["step"].tolist()) for batch in batches]


def different(epochs):
    drawn = [str(batch) for epoch in epochs for batch in epoch]
    return len(set(drawn)) == len(drawn)


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", [{}, {"num_workers": 2}, {"num_workers": 2, "persistent_workers": True}], ids=["here", "workers", "persistent"]
)
def test_every_epoch_draws_other_windows_and_the_seed_gives_them_again(store, how):
    from torch.utils.data import DataLoader

    if how:
        how = {**how, "multiprocessing_context": "spawn"}

    def epochs(**changes):
        loader = DataLoader(windows(store, **changes), batch_size=None, **how)
        return [seen(loader) for _ in range(2)]

    first = epochs()
    assert different(first)
    assert epochs()[0] == first[0]
    assert epochs(epoch=1)[0] == first[1], "a training that was stopped goes on"


def test_epochs_ranks_and_seeds_are_streams_of_their_own(store):
    one = windows(store)
    epochs = [seen(one) for _ in range(3)]
    assert different([*epochs, seen(windows(store, rank=1)), seen(windows(store, seed=1))])
    assert [seen(again := windows(store)), seen(again)] == epochs[:2]
    endless = windows(store, batches=None)
    begun = [seen([next(iter(endless))]) for _ in range(3)]
    assert different(begun), "a loop that is broken off is an epoch, too"
    assert different([*epochs, seen(pickle.loads(pickle.dumps(one)))])


def test_windows_are_what_lies_there(store):
    import torch

    for batch in windows(store):
        assert batch["observation"].dtype == torch.int32
        expected = 1000 * batch["history"][:, None] + batch["step"][:, None] + torch.arange(8)
        assert torch.equal(batch["observation"].long(), expected)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"batch": 0}, "batch=0"),
        ({"length": 101}, "length=101: the longest"),
        ({"seed": 1.5}, "seed=1.5"),
        ({"batches": 0}, "batches=0"),
        ({"rank": -1}, "rank=-1"),
        ({"epoch": "2"}, "epoch='2'"),
        ({"columns": "reward"}, r"columns='reward' must be a list of names, such as \['reward'\]"),
        ({"columns": []}, "must name at least one"),
        ({"columns": ["rewards"]}, "'rewards' is not there"),
    ],
)
def test_what_is_wrong_is_said_at_once(store, changes, why):
    with pytest.raises((TypeError, ValueError), match=why):
        windows(store, **changes)
