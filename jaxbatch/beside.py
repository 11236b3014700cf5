"""The pieces of one part, side by side on as many threads as have nothing else to do."""

import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextlib import ExitStack
from typing import Generic, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def side_by_side(
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
        self._results: list[Future[Result]] = []
        self._failed = False

    def results(self) -> list[Result]:
        while self._one():
            pass
        wait(self._results)
        return [each.result() for each in self._results]

    def _one(self) -> bool:
        """Take the next piece and work on it; whether there was one."""
        with self._taking:
            if self._failed:
                return False
            try:
                piece = next(self._left)
            except StopIteration:
                return False
            except BaseException as error:
                self._fail(self._begun(), error)
                return False
            result = self._begun()
        self._have_help()
        try:
            result.set_result(self._work(piece))
        except BaseException as error:
            self._fail(result, error)
        return True

    def _begun(self) -> Future[Result]:
        self._results.append(Future())
        return self._results[-1]

    def _fail(self, result: Future[Result], error: BaseException) -> None:
        self._failed = True
        result.set_exception(error)

    def _have_help(self) -> None:
        turn = self._spare()
        if turn is not None:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            threading.Thread(target=self._help, args=(turn,), name="jaxbatch-beside", daemon=True).start()

    def _help(self, turn: ExitStack | None) -> None:
        while turn is not None:
            with turn:
                more = self._one()
            turn = self._spare() if more else None
