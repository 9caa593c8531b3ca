"""`python -m metarl_envs.cli`."""

from metarl_envs.cli import main

main()
