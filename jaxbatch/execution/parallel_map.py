"""A function of each piece of one part, on as many threads as have nothing else to do."""

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from typing import Any, Generic, TypeVar

Piece = TypeVar("Piece")
Result = TypeVar("Result")


def parallel_map(
    work: Callable[[Piece], Result], pieces: Iterable[Piece], try_acquire: Callable[[], ExitStack | None]
) -> list[Result]:
    """``work`` of each piece, in the order of the pieces, by this thread and as many others as there are slots for.

    Pieces are taken from the iterable one at a time, by whichever thread is free. However it ends, no thread is at work
    afterwards.

    Args:
        work: the function of one piece.
        pieces: an iterable of pieces; making one may take long, or fail.
        try_acquire: takes a slot for one more thread, which the returned ExitStack releases; None if there is none.

    Raises:
        BaseException: that of the first piece for which anything was raised; no piece is begun after that.
    """
    return _Pieces(work, pieces, try_acquire).results()


class _Pieces(Generic[Piece, Result]):
    def __init__(
        self, work: Callable[[Piece], Result], pieces: Iterable[Piece], try_acquire: Callable[[], ExitStack | None]
    ):
        self._work = work
        self._pieces = iter(pieces)
        self._try_acquire = try_acquire
        self._taking = threading.Lock()
        self._taken = 0
        self._results: dict[int, Result] = {}
        self._errors: dict[int, BaseException] = {}
        self._failed = False
        self._ended = threading.Condition()

    def results(self) -> list[Result]:
        while self._next():
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
            del error  # or the error would keep this frame, with all its results, until cycles are collected

    def _next(self) -> bool:
        """Take the next piece and work on it; False if there was none."""
        with self._taking:
            if self._failed:
                return False
            number = self._taken
            try:
                piece = next(self._pieces)
            except StopIteration:
                return False
            except BaseException as error:  # raised again by results()
                self._taken += 1
                self._fail(number, error)
                return False
            self._taken += 1
        try:
            self._start_helper()
            self._end(self._results, number, self._work(piece))
        except BaseException as error:
            self._fail(number, error)
        return True

    def _fail(self, number: int, error: BaseException) -> None:
        self._failed = True
        self._end(self._errors, number, error)

    def _end(self, outcomes: dict[int, Any], number: int, outcome: Any) -> None:
        with self._ended:
            outcomes[number] = outcome
            self._ended.notify_all()

    def _start_helper(self) -> None:
        """Start one more thread, if there is a slot for it."""
        slot = self._try_acquire()
        if slot is None:
            return
        try:
            # A daemon, because a thread that hangs in a part must not keep the process alive.
            threading.Thread(target=self._help, args=(slot,), name="jaxbatch-chunk", daemon=True).start()
        except RuntimeError:  # the system has no more threads: this one goes on by itself
            slot.close()

    def _help(self, slot: ExitStack | None) -> None:
        while slot is not None:
            with slot:
                more = self._next()
            slot = self._try_acquire() if more else None
