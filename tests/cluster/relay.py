"""Joins the test's process to a network namespace it is not in: run inside, it listens on a unix socket outside.

The file system is not part of a network namespace, so a socket file joins both. A client writes one line, `ADDRESS
PORT`, is answered with an empty line once that is connected, and from then on speaks with it. Who cannot be connected
sees the socket closed. It also holds the namespace, which is gone with its last process.
"""

import asyncio
import contextlib
import sys

CHUNK_BYTES = 1 << 16


async def relay(path: str) -> None:
    """Serve the socket until this process is ended."""
    joins: set[asyncio.Task[None]] = set()  # a task that nobody holds may be lost

    def join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_join(reader, writer))
        joins.add(task)
        task.add_done_callback(joins.discard)

    server = await asyncio.start_unix_server(join, path)
    async with server:
        await server.serve_forever()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, ValueError):
        address, port = (await reader.readline()).decode().split()
        far_reader, far_writer = await asyncio.open_connection(address, int(port))
        writer.write(b"\n")
        await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))
        far_writer.close()
    writer.close()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction, until its end, which is passed on too."""
    with contextlib.suppress(OSError):
        while chunk := await reader.read(CHUNK_BYTES):
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.write_eof()


if __name__ == "__main__":
    asyncio.run(relay(sys.argv[1]))
