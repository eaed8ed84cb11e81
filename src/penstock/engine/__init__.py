"""The engine core: continuous batching as a state machine that knows no time.

- `config`, `request`: an engine's limits; what it is asked to do, and why it may refuse.
- `batch`: what the next step does (`Batch`) and what came of it (`Progress`).
- `engine`: the scheduler: `add`, `cancel`, `release`, `drain`, `plan`, `commit`.
- `sequence`, `holdings`, `decoding`: one request inside the engine; what it holds of the KV pool; all that decode, as
  integers and counters.
- `timeline`: an engine on a clock of integer ticks, for rehearsal and simulation.
- `integrity`: checks an engine's counters against its sequences.
"""
