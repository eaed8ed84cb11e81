"""The open-loop client: sends each request at its time, whatever became of those before, and says what it saw.

- `target`: the server under load: its address, the model it serves, how to ask it.
- `body`: one request as JSON. `answer`: a streamed answer, read as it comes: first token, gaps, usage, end.
- `exchange`: one request over HTTP, from its intended instant to its outcome.
- `pace`: the open loop. `lateness`: how late we were ourselves. `progress`: what to show meanwhile.
- `run`: one whole run, from the first connection to the result.
"""
