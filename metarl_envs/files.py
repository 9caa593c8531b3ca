"""Files that are there whole or not at all, and what made them: written aside, then renamed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


def versions(*packages: str) -> dict[str, str]:
    """Return the version of each package; "not installed" where there is no metadata (a source tree on the path)."""
    return {package: _version(package) for package in packages}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def beside(path: str | os.PathLike, *suffixes: str) -> list[Path]:
    """Return the files of these suffixes that belong together; `path` is one of them, or their common stem."""
    stem = Path(path)
    stem = stem.with_suffix("") if stem.suffix in suffixes else stem
    return [stem.with_name(stem.name + suffix) for suffix in suffixes]


def file_name(name: str) -> str:
    """Return a name as that of a file: letters, digits and dashes, and what tells it from names like it."""
    plain = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:40]
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def as_png(path: str | os.PathLike) -> Path:
    """Return the path of a picture; ValueError where its name does not end in .png."""
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ValueError(f"path={str(path)!r} must end in .png")
    return path


def see_that_it_is_no_folder(path: str | os.PathLike) -> None:
    """Raise IsADirectoryError where the stem of files is a folder, or is written like one: they would be put beside it."""
    if os.fspath(path).endswith(("/", os.sep)) or Path(path).is_dir():
        raise IsADirectoryError(f"{os.fspath(path)!r} is a folder: give a name in it, such as {str(Path(path) / 'name')!r}")


def read_said(path: Path, what: str, format: str, kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a JSON file from anywhere says.

    Args:
        path: the file.
        what: what it should be, as an error calls it, such as "run".
        format: what it begins with.
        kinds: what else it must say, and of which types that is. (A bool is no integer.)

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it says something else.
    """
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # no text, no JSON, or brackets without end
        raise ValueError(f"{path} is no {what}, or is cut short: {error}") from None
    if not isinstance(said, dict) or said.get("format") != format:
        found = said.get("format") if isinstance(said, dict) else None
        raise ValueError(
            f"{path} is no {what} that this version reads: its format is {found!r:.80}, not {format!r}. What an older version "
            "has written is read by that version"
        )
    see_that_it_says(said, what, kinds, path)
    return said


def see_that_it_says(said: Mapping[str, Any], what: str, kinds: Mapping[str, Any], path: Path) -> None:
    """Raise ValueError where something is missing in what a file says, or is of another type; see `read_said`."""
    for name, kind in kinds.items():
        if name not in said or not isinstance(said[name], kind) or (isinstance(said[name], bool) and kind is not bool):
            raise ValueError(f"{path} is no {what}: {name!r} is missing or of another kind. Fetch the file again")


@contextlib.contextmanager
def written_aside(*paths: Path) -> Iterator[list[Path]]:
    """Give a path to write to for each of `paths`; once all are written they are renamed, in order, and else removed.

    Whoever looks meanwhile sees the old file or the new one, whole. Their suffixes are those of `paths`.
    """
    mark = f"{os.getpid()}-{threading.get_ident()}"
    asides = [path.with_name(f".{path.stem}.part-{mark}{path.suffix}") for path in paths]
    try:
        yield asides
        for aside, path in zip(asides, paths, strict=True):
            os.replace(aside, path)
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


@contextlib.contextmanager
def new_file(target: str | os.PathLike) -> Iterator[Path]:
    """Give a path to write to, which is renamed to `target` when all has gone well; FileExistsError where there is one."""
    path = Path(target).absolute()
    if path.exists():
        raise FileExistsError(f"{path} is there already: give another name")
    with written_aside(path) as [aside]:
        yield aside


@contextlib.contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, which is renamed when all has gone well, and else removed with the parents made for it."""
    made = [parent for parent in folder.parents if not parent.exists()]
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
        try:
            yield aside
            os.chmod(aside, 0o755)
            os.rename(aside, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    except BaseException:
        with contextlib.suppress(OSError):  # somebody else has begun to use one
            for parent in made:
                parent.rmdir()
        raise


@contextlib.contextmanager
def replaced_in(folder: Path, *names: str) -> Iterator[Path]:
    """Give a folder to write files and folders of these names to, which take the place of those in `folder` when all are whole.

    What is not written is removed there. Whatever interrupts this leaves the old ones; other files are not touched.
    """
    folder.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=".part-", dir=folder))
    new, old = aside / "new", aside / "old"
    new.mkdir()
    old.mkdir()
    there = [name for name in names if (folder / name).exists()]
    try:
        yield new
        for name in names:
            _move(folder / name, old / name)
            _move(new / name, folder / name)
    except BaseException:
        for name in names:
            if (old / name).exists() or name not in there:
                _move(folder / name, new / name)
                _move(old / name, folder / name)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(path: Path, target: Path) -> None:
    """Rename what is there, if anything is."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(path, target)


def write_synced(path: Path, content: bytes) -> None:
    """Write a file whole, and return when it has reached the disk."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Return when the names in a folder have reached the disk, where the system can tell."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
