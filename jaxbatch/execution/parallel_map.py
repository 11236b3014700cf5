"""The pieces of one part, side by side on as many threads as have nothing else to do."""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def parallel_map(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], spare: Callable[[], ExitStack | None]
) -> list[Result]:
    """``work`` of each piece, in the order of the pieces, by this thread and by others while ``spare`` gives turns.

    Pieces are made one at a time, whoever takes them. However it ends, no thread is at work afterwards.

    Raises:
        BaseException: whatever is raised of the first piece of which anything is; no piece is begun after that.
    """
    return _Pieces(work, pieces, spare).results()


class _Pieces(Generic[Piece, Result]):
    def __init__(self, work: Callable[[Piece], Result], pieces: Iterable[Piece], spare: Callable[[], ExitStack | None]):
        self._work = work
        self._left = iter(pieces)
        self._spare = spare
        self._taking = threading.Lock()
        self._taken = 0
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._failed = False
        self._ended = threading.Condition()

    def results(self) -> list[Result]:
        while self._one():
            pass
        with self._ended:
            self._ended.wait_for(lambda: len(self._results) + len(self._errors) == self._taken)
        if not self._errors:
            return [self._results[number] for number in range(self._taken)]
        error = self._errors[min(self._errors)]
        self._errors.clear()
        try:
            raise error
        finally:
            del error  # or the error would keep this frame, and all that it has, until cycles are collected

    def _one(self) -> bool:
        """Take the next piece and work on it; whether there was one."""
        with self._taking:
            if self._failed:
                return False
            number = self._taken
            try:
                piece = next(self._left)
            except StopIteration:
                return False
            except BaseException as error:  # raised again where the results are asked for
                self._taken += 1
                self._fail(number, error)
                return False
            self._taken += 1
        try:
            self._have_help()
            self._end(self._results, number, self._work(piece))
        except BaseException as error:
            self._fail(number, error)
        return True

    def _fail(self, number: int, error: BaseException) -> None:
        self._failed = True
        self._end(self._errors, number, error)

    def _end(self, where: dict[int, Any], number: int, what: Any) -> None:
        with self._ended:
            where[number] = what
            self._ended.notify_all()

    def _have_help(self) -> None:
        turn = self._spare()
        if turn is None:
            return
        try:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            threading.Thread(target=self._help, args=(turn,), name="jaxbatch-beside", daemon=True).start()
        except RuntimeError:  # the system has no more threads: this one goes on alone
            turn.close()

    def _help(self, turn: ExitStack | None) -> None:
        while turn is not None:
            with turn:
                more = self._one()
            turn = self._spare() if more else None
