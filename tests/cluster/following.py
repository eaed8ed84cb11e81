"""Does something again and again beside a test, as a small controller of the testbed's own."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def following(do: Callable[[], None], every_s: float = 0.5) -> Iterator[None]:
    """While it is there. `do` looks after its own errors."""
    ended = threading.Event()

    def follow() -> None:
        while not ended.wait(every_s):
            do()

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
