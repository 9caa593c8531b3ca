"""Task sets: the tasks of a family in one split, as rows that can be indexed, sampled, saved and told apart."""

from metarl_envs.task_sets.task_set import DEFAULT_SPLIT, TaskSet, load, tasks, tasks_of

__all__ = ["DEFAULT_SPLIT", "TaskSet", "load", "tasks", "tasks_of"]
