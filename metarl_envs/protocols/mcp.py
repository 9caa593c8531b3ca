"""A server that speaks MCP (mcp 1 or 2): one trial a session, by the tools `look` and `act`. `metarl-envs mcp DarkRoom`."""

# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from metarl_envs.protocols.trials import open_trial
from metarl_envs.text import TextEnv

try:
    from mcp.server.mcpserver import Context, MCPServer
except ModuleNotFoundError:  # before mcp 2 it was called otherwise
    from mcp.server.fastmcp import Context
    from mcp.server.fastmcp import FastMCP as MCPServer


def server(trial: Mapping[str, Any], at_end: Callable[[TextEnv], None] = lambda env: None) -> Any:
    """Return a server, on which each session lives the trial by itself: `server(trial).run("stdio")`.

    Sessions are those of stdio and of clients in the same process: their state lives as long as they do.

    Args:
        trial: which, as from `metarl_envs.protocols.list_trials`.
        at_end: is called with the environment when a session ends, whether or not the trial is over.

    Raises:
        TypeError, ValueError, IndexError: there is no such trial.
    """
    open_trial(trial)  # so that what is wrong with it is told now, and not to a client

    @contextlib.asynccontextmanager
    async def session(_: Any) -> AsyncIterator[TextEnv]:
        env = open_trial(trial, player="mcp")
        env.reset()
        try:
            yield env
        finally:
            at_end(env)

    how = "Call look once, then act until the trial is over."
    made = MCPServer("metarl-envs", instructions=how, lifespan=session, log_level="WARNING")

    @made.tool()
    async def look(context: Context) -> str:
        """Return the rules of the world, and what is observed now."""
        env = context.request_context.lifespan_context
        return f"{env.rules()}\n\n{env.text}"

    @made.tool()
    async def act(sentence: str, context: Context) -> str:
        """Do one thing, said in one of the sentences that the rules name, and be told what came of it."""
        env = context.request_context.lifespan_context
        return "The trial is over." if env.done else env.step(sentence)

    return made
