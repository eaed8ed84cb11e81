"""The world of one machine: a gateway process and pools of worker processes. Observes by scraping them, acts on pools.

A thin shell between the loop (`loop.World`) and the pools' state machines: a decision becomes what a pool is told to
have; the rest of a scale-up or a drain is the pool's life. Ticks the pools, keeps the gateway's list of ready workers.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import aiohttp

from penstock.autoscale.policies import policy_for
from penstock.clock import Clock
from penstock.control import gateway_view, life_events, worker_view
from penstock.control.cpu import cpu_time_s
from penstock.control.exposition import Scrape, parse_exposition
from penstock.control.faults import Faults
from penstock.control.gateway_view import GatewayView
from penstock.control.health import scrape
from penstock.control.launch import GatewayKind, WorkerKind
from penstock.control.lifecycle import Phase, PoolLife
from penstock.control.pool_shell import PoolShell, Running
from penstock.control.pool_signals import pool_signals
from penstock.control.run_directory import RunDirectory
from penstock.control.windows import Window
from penstock.messages.decision import Decision
from penstock.messages.engine_spec import StartupSpec
from penstock.messages.observation import Observation, PoolSeen, WorkerSeen
from penstock.messages.spec import ComponentSpec, DeploymentBody
from penstock.messages.worker import WorkerRecord

TICK_EVERY_S = 0.1  # a drain's end, a check's turn: noticed within a tenth of a second
WORKER_HOST = "127.0.0.1"  # workers are the gateway's business alone
IDLE_WORKER_S = 3.0  # without a gateway a worker has nothing left to finish
GATEWAY = "frontend"
_NO_DELAY = StartupSpec(cold_s=0.0, warm_s=0.0)
_GATEWAY_DRAIN_S = 10.0
_CPU_WINDOW_S = 10.0


class Machine:
    """All processes of a deployment on this machine.

    Args:
        faults: counts what went wrong in supervising and was left behind.
        gave_up: called with the reason, if a pool gave up and has nothing left.
    """

    def __init__(
        self,
        spec: DeploymentBody,
        clock: Clock,
        run: RunDirectory,
        session: aiohttp.ClientSession,
        *,
        host: str,
        port: int,
        log_directory: Path,
        faults: Faults,
        gave_up: Callable[[str], None],
    ) -> None:
        self.spec, self._clock, self._run, self._session = spec, clock, run, session
        self._faults, self._gave_up = faults, gave_up
        self.gateway_view = GatewayView(spec.slo)
        self._gateway_cpu: Window[str] = Window(_CPU_WINDOW_S)
        self._gateway_process: str | None = None
        self._interval_s = {pool.name: policy_for(spec, pool).interval_s for pool in spec.pools}
        self.gateway = PoolShell(
            PoolLife(GATEWAY, _NO_DELAY, _GATEWAY_DRAIN_S, max_replicas=1),
            GatewayKind(spec, run, session, host),
            clock,
            host=host,
            port=port,
            log_directory=log_directory,
            publish=lambda: None,
            forget=lambda worker: None,
        )
        self.pools = {
            component.name: PoolShell(
                PoolLife(
                    component.name,
                    component.engine.startup,
                    component.engine.drain_timeout_s,
                    component.max_replicas,
                ),
                WorkerKind(spec, component, run, session, WORKER_HOST),
                clock,
                host=WORKER_HOST,
                port=None,
                log_directory=log_directory,
                publish=self._publish,
                forget=run.forget,
            )
            for component in spec.pools
        }

    def begin(self) -> None:
        """Start the gateway and every pool's initial replicas."""
        self._publish()
        self.gateway.tell(life_events.Want(replicas=1))
        for component in self.spec.pools:
            self.pools[component.name].tell(life_events.Want(replicas=component.initial_replicas))

    async def supervise(self) -> None:
        """Keep the processes alive, until cancelled."""
        while True:
            for shell in self._shells:
                try:
                    shell.tell(life_events.Tick())
                except Exception as error:  # noqa: BLE001 - the top of a loop: the other pools are looked after
                    self._faults.caught("supervise", error)
                life = shell.life
                if life.gave_up is not None and life.desired and not life.workers:
                    self._gave_up(life.gave_up)
            await asyncio.sleep(TICK_EVERY_S)

    @property
    def has_begun(self) -> bool:
        """Whether the gateway answers and each pool has the replicas that it was begun with."""
        return bool(self.gateway.life.ready) and all(
            len(shell.life.ready) >= shell.life.desired for shell in self.pools.values()
        )

    @property
    def deaths(self) -> Mapping[str, int]:
        """Processes that died unasked, by component."""
        return {shell.life.component: shell.life.deaths for shell in self._shells}

    async def act(self, decisions: Sequence[Decision]) -> None:
        """Tell each pool what it should have. A decision to stay moves nothing, whatever changed while it was made."""
        for decision in decisions:
            if decision.desired != decision.current:
                self.pools[decision.component].tell(life_events.Want(replicas=decision.desired))

    async def observe(self, now_s: float) -> Observation:
        """Scrape everything that is up, at the same time, and say what is seen of each pool."""
        reads = [self._read_gateway()]
        for component in self.spec.pools:
            shell = self.pools[component.name]
            reads += [
                self._read_worker(running)
                for worker in shell.life.workers
                if worker.phase in (Phase.READY, Phase.DRAINING) and (running := shell.running.get(worker.id))
            ]
        await asyncio.gather(*reads)
        totals = self.gateway_view.totals()
        cpu = self._gateway_cpu.increase(now_s, _CPU_WINDOW_S)
        if cpu is not None:
            totals["gateway_cpu_ratio"] = cpu.by[GATEWAY] / cpu.span_s
        pools = tuple(self._pool_seen(component, now_s) for component in self.spec.pools)
        return Observation(time_s=now_s, pools=pools, totals=totals)

    async def stop(self) -> None:
        """End everything: the gateway first, so that requests in flight can finish; what takes too long is killed."""
        for shell in self._shells:
            shell.close()
        await _end(self.gateway, _GATEWAY_DRAIN_S)
        for shell in self.pools.values():
            shell.end()
        await asyncio.gather(*(_end(shell, IDLE_WORKER_S) for shell in self.pools.values()))

    def kill(self) -> None:
        """End every process now."""
        for shell in self._shells:
            shell.close()
            shell.kill()

    @property
    def _shells(self) -> tuple[PoolShell, ...]:
        return (self.gateway, *self.pools.values())

    def _publish(self) -> None:
        self._run.publish(
            WorkerRecord(
                id=worker,
                url=self.pools[component.name].running[worker].url,
                component=component.name,
                role=component.role,
                kv_events=self._run.endpoint(worker, "kv"),
                kv_replay=self._run.endpoint(worker, "replay"),
                engine=component.engine,
            )
            for component in self.spec.pools
            for worker in sorted(self.pools[component.name].life.ready)
        )

    async def _read_gateway(self) -> None:
        for worker in self.gateway.life.workers:
            running = self.gateway.running.get(worker.id)
            if worker.phase is not Phase.READY or running is None:
                continue
            if self._gateway_process != worker.id:
                self._gateway_process = worker.id
                self.gateway_view.born(worker.born_s)
                self._gateway_cpu.born(worker.born_s)
            found = await self._scrape(running.url, gateway_view.WANTED)
            at_s = self._clock.now_s()
            self.gateway_view.read(at_s, found)
            cpu_s = cpu_time_s(running.child.pid) if running.child else None
            if cpu_s is not None:
                self._gateway_cpu.read(at_s, {GATEWAY: cpu_s})

    async def _read_worker(self, running: Running) -> None:
        found = await self._scrape(running.url, worker_view.WANTED)
        at_s = self._clock.now_s()
        running.view.read(at_s, found)
        cpu_s = cpu_time_s(running.child.pid) if running.child else None
        if cpu_s is not None:
            running.view.used_cpu(at_s, cpu_s)

    async def _scrape(self, url: str, wanted: frozenset[str]) -> Scrape:
        text = await scrape(self._session, url)
        return parse_exposition(text, wanted) if text is not None else Scrape()

    def _pool_seen(self, component: ComponentSpec, now_s: float) -> PoolSeen:
        shell = self.pools[component.name]
        phases = [worker.phase for worker in shell.life.workers]
        ready = [
            shell.running[worker.id].view
            for worker in shell.life.workers
            if worker.phase is Phase.READY and worker.id in shell.running
        ]
        return PoolSeen(
            component=component.name,
            desired=shell.life.desired,
            starting=phases.count(Phase.STARTING),
            ready=phases.count(Phase.READY),
            draining=phases.count(Phase.DRAINING) + phases.count(Phase.DYING),
            signals=pool_signals(
                ready,
                self.gateway_view.signals(now_s, self._interval_s[component.name]),
                lead_time_s=shell.life.slots.lead_time_s,
                now_s=now_s,
            ),
            workers=tuple(_workers_seen(shell, now_s)),
        )


def _workers_seen(shell: PoolShell, now_s: float) -> list[WorkerSeen]:
    """For the page; and on the way, what each carries is told to the pool, for the choice of whom to stop."""
    seen = []
    for worker in shell.life.workers:
        running = shell.running.get(worker.id)
        if running is None:
            continue
        view = running.view
        prefixes = view.prefixes(now_s)
        at_work, queue = int(view.value(worker_view.RUNNING)), int(view.value(worker_view.WAITING))
        seen.append(
            WorkerSeen(
                id=worker.id,
                state=worker.state,
                since_s=worker.since_s,
                ready_at_s=worker.ready_at_s if worker.phase is Phase.STARTING else None,
                running=at_work,
                queue=queue,
                kv_usage=view.value(worker_view.KV_USAGE),
                hit_ratio=prefixes.found / prefixes.queried if prefixes else 0.0,
            )
        )
        found_per_s = prefixes.found / prefixes.span_s if prefixes else 0.0
        shell.tell(life_events.Measured(worker=worker.id, in_flight=at_work + queue, cached_tokens_per_s=found_per_s))
    return seen


async def _end(shell: PoolShell, within_s: float) -> None:
    shell.end()
    try:
        await asyncio.wait_for(shell.gone(), within_s)
    except TimeoutError:
        shell.kill()
        await shell.gone()
