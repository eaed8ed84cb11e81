"""The live page on a real port, served from a thread, fed by the test."""

import asyncio
import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self

from starlette.applications import Starlette

from penstock.messages.decision import Decision
from penstock.messages.observation import Observation
from penstock.telemetry.feed import Feed
from penstock.telemetry.page_server import PageServer
from penstock.telemetry.web import create_app


class LivePage:
    """Serves a feed on a free port of loopback until the block ends."""

    def __init__(self, feed: Feed, app: Starlette | None = None) -> None:
        self.feed = feed
        self.url = ""
        self._app = app if app is not None else create_app(feed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="live page")

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = PageServer(self._app, host="127.0.0.1", port=0)
        self.url = self._run(self._server.start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._run(self._server.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def tell(self, events: Iterable[Observation | Decision]) -> None:
        """Tell the feed, on its own thread, as the control loop would."""

        async def tell() -> None:
            for event in events:
                if isinstance(event, Observation):
                    self.feed.observed(event)
                else:
                    self.feed.decided(event)

        self._run(tell())

    def _run(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(15)
