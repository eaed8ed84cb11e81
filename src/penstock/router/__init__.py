"""Where does a request go? Pure: told what happened, it prices every worker in seconds and names one.

- `route_request`: what is asked (`RouteRequest`) and answered (`Choice`). `worker_info`: who may serve (`WorkerInfo`)
  and what a scrape said of it (`WorkerLoad`).
- `router`: `Router`, the one mutable object, with one owner. Start here.
- `policy`: `kv`, `least-loaded`, `round-robin`. `price`: the cost formula that `kv` minimises. `pool`: workers of one
  role.
- `prefix_index`: which worker holds which KV blocks, kept in runs (`prefix_run`).
- `expected_load`: what each worker has to do, from what it was sent.
- `flights`: requests under way. `candidate`: a worker, its load turned into the terms of its price.
- `demand`: how much the requests still to come weigh. `correction`: how far predictions were off, learned.
- `explanation`: every worker's price, for people and for JSON.
"""
