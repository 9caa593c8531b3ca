"""The families: one file each, one row each in `metarl_envs.ids`."""
