"""Finished runs, kept on disk: an interrupted grid of hours loses only the runs that it was in."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

KEPT_FROM = (Path(__file__).parent, Path(__file__).parents[2] / "client" / "dlbc")
"""Folders whose code a run's result depends on: with other code it runs again."""


class Remembering(Executor):
    """Hands runs to another executor unless the folder has what this very run gave before.

    A run is a function with its arguments; a result of another code, setting or weights is never taken for it. The
    files are pickles: the folder has to be one's own, as any temporary file has to be.
    """

    def __init__(self, inner: Executor, folder: Path) -> None:
        self._inner = inner
        self._folder = folder
        self._code = _code()
        folder.mkdir(parents=True, exist_ok=True)

    def submit(self, function: Callable[..., Any], /, *args: Any, **named: Any) -> Future[Any]:
        """A future that is done already if the run was remembered."""
        file = self._folder / self._name(function, args, named)
        told: Future[Any] = Future()
        if file.is_file():
            told.set_result(pickle.loads(file.read_bytes()))
        else:
            self._inner.submit(function, *args, **named).add_done_callback(lambda done: _keep(done, file, told))
        return told

    def _name(self, function: Callable[..., Any], args: tuple[Any, ...], named: Mapping[str, Any]) -> str:
        digest = hashlib.sha256(self._code)
        _feed(digest, [function.__qualname__, args, named])
        return f"{digest.hexdigest()}.run"


def forget(folder: Path) -> None:
    """Removes what was kept; nothing else that may lie there."""
    for file in folder.glob("*.run"):
        file.unlink()
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _keep(done: Future[Any], file: Path, told: Future[Any]) -> None:
    """Tells of a result when it is on disk; a run that failed or was cancelled has nothing to keep."""
    if done.cancelled():
        told.cancel()
        return
    try:
        result = done.result()
        part = file.with_suffix(".part")
        part.write_bytes(pickle.dumps(result))
        part.replace(file)
    except BaseException as error:  # noqa: BLE001  # whoever waits is to know, whatever it is
        told.set_exception(error)
    else:
        told.set_result(result)


def _code() -> bytes:
    digest = hashlib.sha256()
    for folder in KEPT_FROM:
        for file in sorted(folder.rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.digest()


def _feed(digest: Any, value: Any) -> None:
    """Everything a value consists of, with its kind, so that no two different calls are fed the same."""
    if is_dataclass(value) and not isinstance(value, type):
        value = [type(value).__qualname__, *((one.name, getattr(value, one.name)) for one in fields(value))]
    if isinstance(value, Mapping):
        value = ["mapping", *value.items()]
    if isinstance(value, (list, tuple)):
        digest.update(f"[{len(value)}".encode())
        for one in value:
            _feed(digest, one)
    elif hasattr(value, "__array__"):
        array = np.asarray(value)
        digest.update(f"<{array.dtype}{array.shape}".encode() + array.tobytes())
    else:
        digest.update(f"({value!r}".encode())
