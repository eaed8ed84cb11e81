"""The planner as KEDA's external scaler, over gRPC: KEDA owns the scale, the planner says how many.

`GetMetrics` answers the count of `autoscale.keda_value`, `IsActive` whether there is to be any at all, and
`StreamIsActive` tells that the moment it changes, which is what wakes a pool from zero; on the way to zero KEDA takes
no push, and asks at its polls. A ScaledObject has the name of its pool. What cannot be answered is an error, and KEDA
then changes nothing.

Everything is bounded: size of requests, streams of a pool, calls at a time; a peer that is gone is found by keepalive.

Source: https://keda.sh/docs/2.18/concepts/external-scalers/
"""

import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc

from penstock.autoscale.keda_value import TARGET, value_milli
from penstock.control.keda_counts import KedaCounts, TooManyStreams, Unanswered
from penstock.control.keda_messages import SERVICE, message
from penstock.errors import InputError
from penstock.kubernetes.mirror import Key

METRIC = "replicas"
_MAX_CALLS = 2000
_GRACE_S = 1.0
_OPTIONS = (
    ("grpc.max_receive_message_length", 64 << 10),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.so_reuseport", 0),  # a port that is taken is an error
)


@contextlib.asynccontextmanager
async def serving(counts: KedaCounts, address: str) -> AsyncIterator[int]:
    """Serve while it is entered. Yields: the port. Raises: InputError, if the address cannot be had."""
    server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=_MAX_CALLS)
    server.add_generic_rpc_handlers((_handlers(_Scaler(counts)),))
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise InputError(f"--keda-listen {address}", "cannot be listened at", "name a free HOST:PORT") from error
    await server.start()
    try:
        yield port
    finally:
        await server.stop(_GRACE_S)


class _Scaler:
    """The four calls."""

    def __init__(self, counts: KedaCounts) -> None:
        self._counts = counts

    async def is_active(self, request: Any, context: Any) -> Any:
        desired, _ = await self._answer(request, context)
        return message("IsActiveResponse")(result=desired > 0)

    async def stream_is_active(self, request: Any, context: Any) -> AsyncIterator[Any]:
        # Not known yet is no error: KEDA would wait up to a minute before it asks again.
        try:
            async for active in self._counts.activity(_key(request)):
                yield message("IsActiveResponse")(result=active)
        except TooManyStreams as error:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{_name(request)}: {error}")

    async def get_metric_spec(self, request: Any, context: Any) -> Any:
        spec = message("MetricSpec")(metricName=METRIC, targetSize=int(TARGET), targetSizeFloat=TARGET)
        return message("GetMetricSpecResponse")(metricSpecs=[spec])

    async def get_metrics(self, request: Any, context: Any) -> Any:
        if request.metricName != METRIC:
            said = f"no metric {request.metricName!r}; it is {METRIC!r}"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, said)
        desired, current = await self._answer(request.scaledObjectRef, context)
        value = value_milli(desired, current) / 1000
        made = message("MetricValue")(metricName=METRIC, metricValue=desired, metricValueFloat=value)
        return message("GetMetricsResponse")(metricValues=[made])

    async def _answer(self, reference: Any, context: Any) -> tuple[int, int]:
        try:
            return self._counts.answer(_key(reference))
        except KeyError:
            said = f"no pool {_name(reference)} that the planner decides for KEDA"
            await context.abort(grpc.StatusCode.NOT_FOUND, said)
        except Unanswered as error:
            await context.abort(grpc.StatusCode.UNAVAILABLE, f"{_name(reference)}: {error}")
        raise AssertionError("abort raises")


def _handlers(scaler: _Scaler) -> Any:
    kinds = {
        "IsActive": (scaler.is_active, "ScaledObjectRef", "IsActiveResponse"),
        "GetMetricSpec": (scaler.get_metric_spec, "ScaledObjectRef", "GetMetricSpecResponse"),
        "GetMetrics": (scaler.get_metrics, "GetMetricsRequest", "GetMetricsResponse"),
    }
    methods = {
        name: grpc.unary_unary_rpc_method_handler(call, message(asked).FromString, message(given).SerializeToString)
        for name, (call, asked, given) in kinds.items()
    }
    methods["StreamIsActive"] = grpc.unary_stream_rpc_method_handler(
        scaler.stream_is_active, message("ScaledObjectRef").FromString, message("IsActiveResponse").SerializeToString
    )
    return grpc.method_handlers_generic_handler(SERVICE, methods)


def _key(reference: Any) -> Key:
    return reference.namespace, reference.name


def _name(reference: Any) -> str:
    return f"{reference.namespace}/{reference.name}"[:200]
