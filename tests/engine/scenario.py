"""Made workloads for fuzzing: tiny pools, shared prefixes, arrivals on boundaries; all from one seed."""

from dataclasses import dataclass
from random import Random

from penstock.engine.config import EngineConfig
from penstock.engine.request import EngineRequest
from penstock.hardware.steptime import StepTime
from penstock.messages.worker import Role


@dataclass
class Scenario:
    config: EngineConfig
    step_time: StepTime
    # (instant, request), in order of instants; several may share one.
    arrivals: list[tuple[int, EngineRequest]]
    # (instant, id of the request to cancel, or None to release the KV that was pinned longest)
    interruptions: list[tuple[int, int | None]]
    scrapes: list[int]


def chain(random: Random, pages: int, branching: int) -> tuple[int, ...]:
    """Hashes of a path through a tree in which each node has `branching` children: paths share prefixes."""
    hashes, node = [], 1
    for _ in range(pages):
        node = (node * 1_000_003 + random.randrange(branching) + 1) % (2**64)
        hashes.append(node)
    return tuple(hashes)


def make(seed: int, *, role: Role | None = None, page_blocks: int | None = None) -> Scenario:
    random = Random(seed)
    role = role or random.choice([Role.WORKER, Role.WORKER, Role.PREFILL, Role.DECODE])
    block_tokens = random.choice([1, 2, 3, 4, 8])
    page_blocks = page_blocks or random.choice([1, 1, 1, 2, 3])
    seats = random.choice([1, 2, 3, 5, 8])
    config = EngineConfig(
        max_num_seqs=seats,
        max_num_batched_tokens=seats + random.choice([0, 1, 3, 10, 30]),
        block_tokens=block_tokens,
        kv_blocks=random.choice([6, 10, 16, 30, 60]),
        role=role,
        page_blocks=page_blocks,
        prefill_first=role is Role.WORKER and Random(seed).random() < 0.5,
    )
    # Small round numbers: arrivals often fall exactly on a boundary.
    measured = Random(f"measured {seed}")  # apart, so that the rest of a scenario stays what its seed made it
    step_time = StepTime(
        base=random.choice([1, 4, 10]),
        prefill_token=random.choice([0, 1, 2]),
        prefill_attention=random.choice([0, 1]),
        sequence=random.choice([0, 1, 5]),
        context_token=random.choice([0, 0, 1, 2]),
        prefill_step=measured.choice([0, 0, 3, 7]),
        experts=measured.choice([0, 0, 20, 50]),
        expert_share=0.25,
    )
    room = config.kv_blocks * block_tokens
    requests: list[EngineRequest] = []
    for number in range(random.randrange(1, 40)):
        prompt = random.randint(1, max(1, min(60, room // 2)))
        most = room - prompt if role is not Role.PREFILL else 10
        output = random.randint(1, max(1, min(most, random.choice([1, 3, 20, 80]))))
        pages = (prompt + output) // config.page_tokens
        hashed = random.choice([0, prompt // config.page_tokens, pages, max(0, pages - 2)])
        requests.append(
            EngineRequest(
                number,
                prompt,
                output,
                chain(random, hashed, random.choice([1, 1, 2])),
                local_prefill=random.random() < 0.3,
            )
        )
    arrivals, at, spread = [], 0, random.choice([0, 3, 20, 100])
    for request in requests:
        at += 0 if random.random() < 0.3 else random.randint(0, spread)
        arrivals.append((at, request))
    end = at + 400
    interruptions: list[tuple[int, int | None]] = [
        (random.randint(0, end), random.choice(requests).id) for _ in range(random.choice([0, 0, 2, 8]))
    ]
    if role is Role.PREFILL:
        interruptions += [(random.randint(0, end), None) for _ in requests]
    interruptions.sort(key=lambda pair: pair[0])
    scrapes = sorted(random.randint(0, end) for _ in range(random.choice([0, 3, 12])))
    return Scenario(config, step_time, arrivals, interruptions, scrapes)
