"""Options of language models, which commands share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Annotated, Any

import typer

BaseUrl = Annotated[str | None, typer.Option("--base-url", help="of a chat endpoint, such as http://localhost:8000/v1")]
Context = Annotated[str, typer.Option(help="what a model keeps: whole, window(n), notes, or reflect")]
MaxTokens = Annotated[int, typer.Option(help="most tokens in one reply of a model")]
Requests = Annotated[int | None, typer.Option(help="most requests to each model [default: no limit]")]
Tokens = Annotated[int | None, typer.Option(help="most tokens of each model, in prompts and replies [default: no limit]")]
Concurrency = Annotated[int, typer.Option(help="conversations of a model that wait for a reply at once")]
Resume = Annotated[
    bool, typer.Option("--resume", help="go on with what is there: models are not asked again what they answered")
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="ask nobody: tell how many requests and tokens it would take")]


def model_of(name: str, base_url: str | None, **settings: Any) -> Any:
    """Return a language model; its key is in the environment variable OPENAI_API_KEY, if it needs one."""
    from metarl_envs.players import LanguageModel

    if base_url is None:
        raise ValueError(f"the model {name!r} needs --base-url, such as --base-url http://localhost:8000/v1")
    return LanguageModel(name, base_url=base_url, **settings)


@contextlib.contextmanager
def told_in_a_line() -> Iterator[None]:
    """Turn a player that failed, or a budget that is spent, into a clear line without a traceback."""
    from metarl_envs.players import PlayerError

    try:
        yield
    except PlayerError as error:
        raise ValueError("\n".join([str(error), *getattr(error, "__notes__", [])])) from error
