"""Objects go up and come down while the work goes on.

Ordering is the caller's business: a fact names objects, so it is written only after all of them are there. ``then``
is made for that; so is ``wait``. Nothing here decides anything, and a failure never passes unnoticed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Executor, Future, ThreadPoolExecutor, wait
from itertools import chain, islice
from pathlib import Path
from threading import Semaphore
from types import TracebackType
from typing import TypeVar

from chimera_batch.stores.base import Store

_T = TypeVar("_T")


class Uploads:
    """Objects on their way into a store, at most ``at_once`` of them: ``with Uploads(store) as uploads: …``.

    A call that would be one more waits for one to end, so neither local files nor memory pile up. The first failure
    is raised by the next call, or on leaving; after it no ``then`` is called any more. Leaving waits for what is under
    way, also when the body failed. Calls belong to one thread; the store is used from several.
    """

    def __init__(self, store: Store, at_once: int = 4) -> None:
        self._store = store
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="upload")
        self._room = Semaphore(at_once)
        self._line: deque[Future[bool] | Callable[[], object]] = deque()  # in the order of the calls
        self._failure: BaseException | None = None

    def __enter__(self) -> Uploads:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            if error is None:
                self.wait()
        finally:
            self._pool.shutdown(wait=True)

    def create_file(self, key: str, path: Path, *, drop: bool = False) -> Future[bool]:
        """As the store's ``create_file``; its answer is the handle's ``result()``, which waits and raises.

        The file must stay as it is until then. With ``drop`` it is gone as soon as its object is there.
        """
        return self._hand_over(lambda: self._store.create_file(key, path, drop=drop))

    def create(self, key: str, data: bytes) -> Future[bool]:
        """As the store's ``create``; its answer is the handle's ``result()``, which waits and raises."""
        return self._hand_over(lambda: self._store.create(key, data))

    def then(self, action: Callable[[], object]) -> None:
        """Call ``action`` once all that was handed over before is there: to write the fact that names it.

        It is called in this thread, by a later call or on leaving, in the order of the calls; what it raises, that
        call raises.
        """
        self._line.append(action)
        self._catch_up()

    def wait(self) -> None:
        """Until all that was handed over is there and every ``then`` was called. Raises the first failure."""
        while self._line:
            if isinstance(head := self._line[0], Future):
                head.exception()  # only to wait for it
            self._catch_up()
        self._catch_up()

    def _hand_over(self, put: Callable[[], bool]) -> Future[bool]:
        self._room.acquire()
        try:
            self._catch_up()
            handle = self._pool.submit(self._carry, put)
        except BaseException:
            self._room.release()
            raise
        self._line.append(handle)
        return handle

    def _carry(self, put: Callable[[], bool]) -> bool:
        try:
            return put()
        except BaseException as error:
            self._failure = self._failure or error
            raise
        finally:
            self._room.release()

    def _catch_up(self) -> None:
        """What has ended leaves the line, and what was waiting for it is called."""
        while self._failure is None and self._line:
            head = self._line[0]
            if isinstance(head, Future) and not head.done():
                return
            self._line.popleft()
            if not isinstance(head, Future):
                self._call(head)
        if self._failure is not None:
            raise self._failure

    def _call(self, action: Callable[[], object]) -> None:
        try:
            action()
        except BaseException as error:
            self._failure = error
            raise


def prefetch(store: Store, keys: Iterable[str], at_once: int = 8) -> Iterator[Path]:
    """``store.fetch`` of every key, in order; the next ones come down while the caller works on one.

    Begins with the first path that is asked for, and stays at most twice ``at_once`` objects ahead. An error is raised
    in its key's place, and what had not begun is not fetched.
    """
    rest = iter(keys)
    first = list(islice(rest, 2))
    if len(first) < 2:
        yield from map(store.fetch, first)
        return
    with ThreadPoolExecutor(at_once, thread_name_prefix="fetch") as pool:
        coming: deque[Future[Path]] = deque()
        try:
            for key in chain(first, rest):
                coming.append(pool.submit(store.fetch, key))
                if len(coming) > 2 * at_once:
                    yield coming.popleft().result()
            while coming:
                yield coming.popleft().result()
        finally:
            for future in coming:
                future.cancel()


def together(crew: Executor, acts: Sequence[Callable[[], _T]]) -> list[_T]:
    """What each of ``acts`` returns, in their order; ``crew`` does them side by side.

    When one fails its error is raised, after those under way have ended; what had not begun is not done.
    """
    jobs = [crew.submit(act) for act in acts]
    try:
        wait(jobs, return_when=FIRST_EXCEPTION)
    finally:
        for job in jobs:
            job.cancel()
        wait(jobs)
    return [job.result() for job in jobs]  # they begin in their order, so an error stands before what was cancelled
