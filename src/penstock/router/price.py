"""What it costs to send a request to a worker, in seconds of TTFT.

    price = queue + prefill + transfer + harm

- queue: prompts ahead of it, less what has been computed since; half a running step; and, where KV or seats are
  short, the wait until enough others have left.
- prefill: the prompt that is left after the prefix hit, by the engine's step time, decoding sequences sharing each
  step.
- transfer: KV from prefill to decode worker, but for what the decode worker holds already.
- harm, to the others, made comparable: an ITL at its target is as bad as a TTFT at its target, and badness grows with
  the square, so harm hardly counts while ITL is far from its target.
  - to those decoding there: they stall during its prefill, then share each step with it;
  - to its own ITL, by how full the worker is;
  - to those still to come: `demand`.

Everything is linear or quadratic in the prompt, with terms that `candidate` keeps. The step time is that of
`hardware`, of which this is the mean-field form: shares of steps instead of whole ones.
"""

from penstock.router.candidate import Candidate
from penstock.router.route_request import RouteRequest

# A price and its parts: total_s, queue_s, prefill_s, transfer_s, harm_s. A plain tuple, made for every worker priced.
Figures = tuple[float, float, float, float, float]


class Ask:
    """A request as the formula needs it: worked out once, used for each worker."""

    __slots__ = (
        "congestion_per_s",
        "context_tokens",
        "exclude",
        "kv_tokens",
        "levels",
        "now_s",
        "overlap_steps",
        "prompt_tokens",
    )

    def __init__(
        self,
        request: RouteRequest,
        levels: list[tuple[int, int]],
        congestion_per_s: float,
        mean_output_tokens: float,
        now_s: float,
    ) -> None:
        output = request.expected_output_tokens or mean_output_tokens
        self.prompt_tokens = request.prompt_tokens
        self.exclude = request.exclude
        self.levels = levels  # (hit tokens, mask of workers), most tokens first
        self.congestion_per_s = congestion_per_s
        self.now_s = now_s
        self.kv_tokens = request.prompt_tokens + output
        self.context_tokens = request.prompt_tokens + 0.5 * output
        # Share of another's steps that it slows down: they have half their output left, and it may end before them.
        self.overlap_steps = output / (mean_output_tokens + 2 * output)

    def hit_tokens(self, bit: int) -> int:
        """Prompt tokens that the worker with this bit holds."""
        for tokens, mask in self.levels:
            if mask & bit:
                return tokens
        return 0


def whole_price(worker: Candidate, ask: Ask, hit_tokens: int) -> Figures:
    """Price a worker that computes the prompt, and, unless its role is prefill, decodes."""
    new_tokens = ask.prompt_tokens - hit_tokens
    prefill_s = new_tokens * (worker.token_s + worker.attention_s * (hit_tokens + 0.5 * new_tokens)) + worker.step_s
    progress_s = ask.now_s - worker.load.progress_from_s
    if progress_s > worker.progress_cap_s:
        progress_s = worker.progress_cap_s
    queue_s = worker.queue_s - progress_s
    short = ask.kv_tokens - worker.kv_free_tokens
    if short < worker.seats_short_tokens:
        short = worker.seats_short_tokens
    if short > 0:
        queue_s += short * worker.token_drain_s
    harm_s = (
        worker.itl_cost_s
        + worker.decode_weight * ask.overlap_steps * (worker.sequence_s + worker.context_token_s * ask.context_tokens)
        + prefill_s * (worker.stall_weight + ask.congestion_per_s * (queue_s + 0.5 * prefill_s))
    )
    return queue_s + prefill_s + harm_s, queue_s, prefill_s, 0.0, harm_s


def decode_price(worker: Candidate, ask: Ask, hit_tokens: int) -> Figures:
    """Price a worker that gets the prompt's KV from elsewhere and decodes."""
    queue_s = worker.queue_s + worker.step_s
    short = ask.kv_tokens - worker.kv_free_tokens
    if short < worker.seats_short_tokens:
        short = worker.seats_short_tokens
    if short > 0:
        queue_s += short * worker.token_drain_s
    transfer_s = worker.transfer_latency_s + (ask.prompt_tokens - hit_tokens) * worker.transfer_token_s
    harm_s = worker.itl_cost_s + worker.decode_weight * ask.overlap_steps * (
        worker.sequence_s + worker.context_token_s * ask.context_tokens
    )
    return queue_s + transfer_s + harm_s, queue_s, 0.0, transfer_s, harm_s
