"""The simulated worker: a real process with an OpenAI API, whose engine is the engine core in real time.

- `settings`: what one worker is told. `process`: its life: start-up delay, signals, drain, exit.
- `app`: HTTP in and out. `asked`: OpenAI JSON to one request; `shapes`: one request's answer back to OpenAI JSON.
- `answer`: what the engine "says", known ahead. `ticket`: one request while it is served.
- `driver`: runs the engine on the wall clock, step by step.
- `kv_publisher`: KV events on ZMQ, with replay.
- `pinned_kv`, `remote_kv`: hand-over of a prompt's KV from a prefill worker to a decode worker.
"""
