"""What one simulated worker is told on its command line."""

from dataclasses import dataclass

from penstock.messages.engine_spec import EngineSpec
from penstock.messages.worker import Role

# As vLLM's VLLM_NIXL_ABORT_REQUEST_TIMEOUT: after it, KV that no decode worker has read is given up.
KV_PIN_TIMEOUT_S = 480.0


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One worker.

    Args:
        id: its name in the deployment; also its name as a KV owner (`remote_engine_id`).
        model: name that requests must ask for.
        tokenizer: a shipped tokenizer's name, or a directory.
        kv_events, kv_replay: ZMQ endpoints to bind; None: no events.
        start_delay_s: how long it answers 503 first, as if it were fetching image and weights.
        kv_pin_timeout_s: how long a prefilled prompt's KV waits to be read.
    """

    id: str
    model: str
    tokenizer: str
    role: Role
    engine: EngineSpec
    host: str = "127.0.0.1"
    port: int
    kv_events: str | None = None
    kv_replay: str | None = None
    start_delay_s: float = 0.0
    kv_pin_timeout_s: float = KV_PIN_TIMEOUT_S
