"""Carries out one pod's instructions: starts, probes, signals, and writes its status. A thin shell round `PodMachine`.

The API server may be away: the processes go on, and the status is written when it is back.
"""

import asyncio
import contextlib
import shutil
import signal
import time
from collections.abc import Coroutine
from typing import Any

from kubelet.actions import Actions
from kubelet.api import STRATEGIC_PATCH, UNREACHABLE, Api, ApiRefused, Thing
from kubelet.container import Container, Place, check_pod, resolve
from kubelet.pod_machine import (
    LIVENESS,
    READINESS,
    STARTUP,
    Delete,
    Event,
    Exited,
    Finish,
    HookDone,
    Instruction,
    Launched,
    PodMachine,
    RunHook,
    Send,
    Start,
    Verdict,
)
from kubelet.pod_status import pod_status, refused_status
from kubelet.probe import ConfigError, Probe, ProbeCount
from kubelet.process import CANNOT_START, Process
from kubelet.sources import read_sources, write_volumes

RETRY_S = 1.0
GONE = (404, 409)  # it is not there, or another of its name is


class PodRunner:
    """One pod, from its first sight to its last word."""

    def __init__(self, api: Api, actions: Actions, pod: Thing, place: Place) -> None:
        self.pod = pod
        self._api = api
        self._actions = actions
        self._place = place
        metadata = pod["metadata"]
        self._path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._processes: dict[str, Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._probes: dict[str, list[asyncio.Task[None]]] = {}
        self._hooks: dict[str, asyncio.Task[None]] = {}
        self._written: Thing | None = None
        self._told_to_go: float | None = None

    def changed(self, pod: Thing) -> None:
        """The API has another version of it: perhaps not ready, as of a node that was taken for lost."""
        self.pod = pod
        if self._written is not None and _readiness(pod["status"]) != _readiness(self._written):
            self._written = None  # to be written again at the next event, which a probe is
        grace_s = pod["metadata"].get("deletionGracePeriodSeconds") if "deletionTimestamp" in pod["metadata"] else None
        if grace_s is not None and (self._told_to_go is None or grace_s < self._told_to_go):
            self._told_to_go = grace_s
            self._events.put_nowait(Delete(grace_s))

    def removed(self) -> None:
        """The API has it no more: it ends as fast as it may."""
        self._events.put_nowait(Delete(0))

    async def run(self) -> None:
        """Until it is gone. When cancelled, its processes are killed, and nobody is told: the node is lost."""
        try:
            machine = await self._machine()
            if machine is not None:
                await self._live(machine)
        finally:
            for task in list(self._tasks):
                task.cancel()
            for process in self._processes.values():
                process.send(signal.SIGKILL)
            shutil.rmtree(self._place.folder / "volumes", ignore_errors=True)

    async def _machine(self) -> PodMachine | None:
        """Wait until all that it needs is there. Returns: None, if it was deleted meanwhile."""
        while True:
            try:
                check_pod(self.pod)
                spec = self.pod["spec"]
                sources = await read_sources(self._api, self.pod)
                write_volumes(spec.get("volumes", ()), self._place.folder, sources)
                containers = [resolve(self.pod, given, self._place, sources) for given in spec["containers"]]
                return PodMachine(
                    containers,
                    restart_policy=spec.get("restartPolicy", "Always"),
                    grace_s=float(spec.get("terminationGracePeriodSeconds", 30)),
                )
            except ConfigError as error:
                await self._write(refused_status(self.pod, str(error), host_ip=self._place.host_ip, now_s=time.time()))
            except UNREACHABLE:
                pass
            if self._told_to_go is not None or not self._events.empty():
                await self._finish()
                return None
            await asyncio.sleep(RETRY_S)

    async def _live(self, machine: PodMachine) -> None:
        began_at_s = time.time()
        event: Event = None
        while True:
            instructions = machine.handle(event, now_s=time.time())
            for instruction in instructions:
                self._do(machine, instruction)
            written = await self._write(
                pod_status(
                    self.pod,
                    machine,
                    pod_ip=self._place.pod_ip,
                    host_ip=self._place.host_ip,
                    began_at_s=began_at_s,
                    now_s=time.time(),
                )
            )
            if Finish() in instructions:
                await self._finish()
                return
            wait_s = machine.wake_at_s - time.time() if written else RETRY_S
            event = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(max(wait_s, 0.0), 3600.0)):
                    event = await self._events.get()

    def _do(self, machine: PodMachine, instruction: Instruction) -> None:
        match instruction:
            case Start(name):
                self._task(self._run_container(machine.containers[name].spec))
            case RunHook(name):
                self._hooks[name] = self._task(self._run_hook(machine.containers[name].spec))
            case Send(name, number):
                if hook := self._hooks.pop(name, None):
                    hook.cancel()
                self._processes[name].send(number)

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _run_container(self, spec: Container) -> None:
        log = self._place.folder / f"{spec.name}.log"
        try:
            process = await Process.start(spec.argv, spec.environment, self._place.folder, log)
        except (OSError, ValueError) as error:
            self._events.put_nowait(Exited(spec.name, CANNOT_START, str(error)))
            return
        self._processes[spec.name] = process
        self._events.put_nowait(Launched(spec.name))
        started = asyncio.Event()
        kinds = ((STARTUP, spec.startup), (READINESS, spec.readiness), (LIVENESS, spec.liveness))
        probes = [self._task(self._probe(spec, kind, probe, started)) for kind, probe in kinds if probe]
        if spec.startup is None:
            started.set()
        code = await process.exit_code()
        for probe in probes:
            probe.cancel()
        if hook := self._hooks.pop(spec.name, None):
            hook.cancel()
        del self._processes[spec.name]
        self._events.put_nowait(Exited(spec.name, code))

    async def _probe(self, spec: Container, kind: str, probe: Probe, started: asyncio.Event) -> None:
        if kind != STARTUP:
            await started.wait()
        await asyncio.sleep(probe.initial_delay_s)
        counted = ProbeCount(probe)
        before: bool | None = None
        next_at_s = time.monotonic()
        while True:
            passed = await self._actions.passes(probe.action, spec.environment, self._place.folder, probe.timeout_s)
            verdict = counted.count(passed)
            if verdict is not None and verdict != before:
                before = verdict
                self._events.put_nowait(Verdict(spec.name, kind, verdict))
                if kind == STARTUP and verdict:
                    started.set()
                    return
            next_at_s += probe.period_s
            await asyncio.sleep(max(next_at_s - time.monotonic(), 0.0))

    async def _run_hook(self, spec: Container) -> None:
        assert spec.pre_stop
        await self._actions.passes(spec.pre_stop, spec.environment, self._place.folder, None)
        self._events.put_nowait(HookDone(spec.name))

    async def _write(self, status: Thing) -> bool:
        """Write the status, if it is another. Returns: whether the API has it."""
        told = _without_transitions(status)
        if told == self._written:
            return True
        try:
            change = {"metadata": {"uid": self.pod["metadata"]["uid"]}, "status": status}
            self.pod = await self._api.ask("PATCH", self._path + "/status", change, STRATEGIC_PATCH)
        except ApiRefused as refused:
            if refused.code not in GONE:
                return False
        except UNREACHABLE:
            return False
        self._written = told
        return True

    async def _finish(self) -> None:
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": self.pod["metadata"]["uid"]},
        }
        while True:
            try:
                await self._api.ask("DELETE", self._path, options)
                return
            except ApiRefused as refused:
                if refused.code in GONE:
                    return
            except UNREACHABLE:
                pass
            await asyncio.sleep(RETRY_S)


def _readiness(status: Thing) -> str | None:
    return next((one["status"] for one in status.get("conditions", ()) if one["type"] == "Ready"), None)


def _without_transitions(status: Thing) -> Thing:
    kept = [{key: value for key, value in one.items() if key != "lastTransitionTime"} for one in status["conditions"]]
    return {**status, "conditions": kept}
