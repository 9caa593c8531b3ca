"""The parameters of boxes, for type checkers and editors: written by `python -m metarl_envs.catalogue --boxes`."""

from typing import Literal, TypedDict


class BoxParameters(TypedDict, total=False):
    """Parameters of a box, by name; whoever leaves one out takes the scenario's default."""

    preset: Literal["full", "short", "small"]
    agents: int  # from 1 to 256
    horizon: int  # from 1 to 32767
    lineages: int  # from 1 to 16
    levels: int  # from 1 to 512
    width: int  # from 1 to 64
    bases: int  # from 2 to 64
    recipes: int  # from 1 to 8
    crossover: int  # from 0 to 512
    dead_ends: float  # from 0 to 0.99
    recency: float  # from 0 to 1
    structure: Literal["lookup", "grammar"]
    features: int  # from 2 to 16
    value_bias: float  # from 0 to 100
    pays: Literal["own", "first", "mean"]
    topology: Literal["isolated", "ring", "full", "caveman", "dynamic", "chosen"]
    group: int  # from 1 to 256
    visit: float  # from 0 to 1
    stay: int  # from 1 to 32767
    fidelity: float  # from 0 to 1
    day: int  # from 0 to 32767
    relabel: Literal["never", "dawn"]
    notes: int  # from 0 to 1024
    board: int  # from 0 to 1024
    page: int  # from 1 to 1024
    free_reading: bool
    notation: Literal["event", "symbols", "text"]
    entry_bytes: int  # from 1 to 4096
    alphabet: int  # from 2 to 256
    illusions: float  # from 0 to 1
    lifespan: int  # from 0 to 32767
    staggered: bool
    channel: Literal["none", "demonstration", "board", "both"]
    teacher: Literal["all", "oldest", "most_successful", "random"]
    apprenticeship: int  # from 0 to 32767
    copy_error: float  # from 0 to 1
    inherit: Literal["nothing", "notes"]
    health: float  # from 0 to 1000
    p_clean: float  # from 0 to 1
    p_toxic: float  # from 0 to 1
    harm: float  # from 0 to 1000
    regeneration: float  # from 0 to 1000
    recover: int  # from 0 to 32767
    visibility: Literal["public", "private", "hidden"]
    sabotage: Literal["erase", "falsify"]
    harm_mask: bool
    selection: Literal["none", "consequentialist", "seems_right", "approval", "mix"]
    mix: float  # from 0 to 1
    retention: Literal["free", "oldest_out", "least_cited_out", "least_confirmed_out"]
    corruption: float  # from 0 to 1
