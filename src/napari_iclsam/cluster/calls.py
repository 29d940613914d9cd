"""Calls of functions on workers, whose results come as they are ready."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

About = TypeVar("About")

_TRIES = 4
"""How often dask begins a call whose worker dies."""


@dataclass(frozen=True, slots=True, eq=False)
class Answer(Generic[About]):
    """What came of a call.

    Attributes
    ----------
    about : object
        What the call was about, as given.
    result : object
        What the function returned; None if there is an error.
    error : Exception, optional
    """

    about: About
    result: Any
    error: Exception | None


class Calls(Generic[About]):
    """Calls that run on the workers of a scheduler. Made by `running_calls`.

    More may be added while answers are taken.
    """

    def __init__(self, client: Any) -> None:
        from distributed import as_completed

        self._client = client
        self._completed = as_completed(loop=client.loop, with_results=False)
        self._about: dict[Any, About] = {}

    def add(self, about: About, function: Callable[..., Any], *arguments: Any) -> None:
        """Call a function of a module on any worker.

        Parameters
        ----------
        about : object
            Comes back with the answer.
        function : callable
        *arguments : object
            Small: they are sent with each call.
        """
        # Not pure: the same call twice is two calls, for files may have changed.
        future = self._client.submit(function, *arguments, pure=False)
        self._about[future] = about
        self._completed.add(future)

    def answers(self) -> Iterator[Answer[About]]:
        """Yield answers as they come, until none is outstanding."""
        for future in self._completed:
            about = self._about.pop(future)
            error = future.exception()
            yield Answer(about, None if error else future.result(), in_words(error))

    def cancel(self) -> None:
        """Withdraw the calls that have not begun; a function that runs goes on to its end."""
        self._client.cancel(list(self._about))


@contextmanager
def running_calls(client: Any) -> Iterator[Calls[Any]]:
    """Yield what runs calls; those that are outstanding when the block ends are withdrawn."""
    calls: Calls[Any] = Calls(client)
    try:
        yield calls
    finally:
        calls.cancel()


def in_words(error: Exception | None) -> Exception | None:
    """Return an error, in words if it is dask's own."""
    from distributed import KilledWorker

    if isinstance(error, KilledWorker):
        return MemoryError(
            f"{_TRIES} workers died of it, one after the other, which happens when memory runs "
            "out: give the jobs more memory."
        )
    return error
