"""What is known about KV blocks without asking an engine: their names, their life in a pool, their events on the wire.

- `hashing`: token ids in, one chained hash per full block out. Gateway, worker and simulator name blocks alike.
- `events`: block events as vLLM publishes them (msgpack), and back.
- `pool`: the blocks of one worker: held, cached, least recently used, evicted. `run`: what it keeps them in.
"""
