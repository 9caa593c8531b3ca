"""Public docstrings are plain English: of functions they begin with a verb, and nothing is called by two words."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "metarl_envs"
#: Rooms that readers of the API see (what is said in boxes and families is for their pages).
ROOMS = ("evaluation", "histories", "task_sets", "players", "learners", "cli", "play", "protocols", "suites")
#: Names that were replaced by those of the field (CONTRIBUTING has the list).
REPLACED = re.compile(
    r"\b(first_guess|last_epsilon|exploring_episodes|only_bandits|made_for|pays_zero_or_one)\b"
    r"|\.objection\(|\.newborn\(|def newborn\(|def locate\(|\.but\(|histories\.open\b"
)


def public_functions(file):
    """Functions of a file, and methods of its public classes, that a reader can call; properties are data."""
    tree = ast.parse(file.read_text())
    bodies = [tree.body, *(node.body for node in tree.body if isinstance(node, ast.ClassDef) and not node.name.startswith("_"))]
    for node in (node for body in bodies for node in body):
        decorators = " ".join(ast.unparse(one) for one in getattr(node, "decorator_list", ()))
        if (
            isinstance(node, ast.FunctionDef)
            and not node.name.startswith("_")
            and not re.search(r"property|kernel|glue", decorators)
        ):
            yield node


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_function_does_begins_with_a_verb(room):
    for file in sorted((PACKAGE / room).rglob("*.py")):
        for node in public_functions(file):
            said = ast.get_docstring(node) or ""
            riddle = re.match(r"(What|Whether|How|The|A|An|Every|Each|Where|Who|Which)\b", said)
            assert not riddle, (
                f"{file.relative_to(PACKAGE)}:{node.lineno} {node.name} begins {said.splitlines()[0]!r}; "
                f'the first sentence of a docstring begins with a verb ("Return the ...")'
            )


def test_nothing_is_called_by_a_name_that_was_replaced():
    files = [*PACKAGE.rglob("*.py"), *(PACKAGE.parent / "docs").glob("*.md"), *(PACKAGE.parent / "examples").glob("*.py")]
    files += [PACKAGE.parent / "README.md", PACKAGE.parent / "CONTRIBUTING.md"]
    for file in files:
        found = REPLACED.search(file.read_text())
        assert not found, f"{file.relative_to(PACKAGE.parent)} says {found[0]!r}"
