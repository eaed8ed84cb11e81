"""The OpenAI front door: takes requests in, has the router place them, relays what workers answer.

A request walks: `request_parser` and `wire` (bytes to requests) -> `front` (endpoints) -> `exchange` (one request's
life) -> `requests` and `prompts` (what routing needs to know) -> `placement`: `routing` (which worker) or `hold` (none
yet) -> `upstream_pool` and `upstream` (connections) -> `relay` (the answer's way back), timed by `meter`, which counts
with `sse` and `usage`.

- `head`, `errors`: bytes of heads and of our own answers. `settings`: every bound and default. `means`: what all share.
- `tries`: how often a request may be tried, and where not again.
- `disaggregate`: bodies for prefill and decode apart. `whole`: calls whose answer is wanted here.
- `discovery`: who is listed; in a cluster `cluster_discovery` (watches), `endpoints` (what that means), `proven` (who
  has completed a token). `kv_subscriber`, `kv_translation`: their KV events in our names. `scrape`: their load.
- `models`: `/v1/models`. `server`: socket, signals, end of the process.
"""
