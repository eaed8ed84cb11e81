"""The messages of KEDA's external scaler. Names and numbers are its public interface, so they are only stated here.

Source: https://keda.sh/docs/2.18/concepts/external-scalers/ (externalscaler.proto).
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

SERVICE = "externalscaler.ExternalScaler"
_PACKAGE = "externalscaler"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bool": _FIELD.TYPE_BOOL,
    "int64": _FIELD.TYPE_INT64,
    "double": _FIELD.TYPE_DOUBLE,
}
# Fields in the order of their numbers, from 1 on; `*` is repeated.
_MESSAGES: dict[str, dict[str, str]] = {
    "ScalerMetadata": {"key": "string", "value": "string"},  # an entry of a map: on the wire, a repeated message
    "ScaledObjectRef": {"name": "string", "namespace": "string", "scalerMetadata": "*ScalerMetadata"},
    "IsActiveResponse": {"result": "bool"},
    "MetricSpec": {"metricName": "string", "targetSize": "int64", "targetSizeFloat": "double"},
    "GetMetricSpecResponse": {"metricSpecs": "*MetricSpec"},
    "GetMetricsRequest": {"scaledObjectRef": "ScaledObjectRef", "metricName": "string"},
    "MetricValue": {"metricName": "string", "metricValue": "int64", "metricValueFloat": "double"},
    "GetMetricsResponse": {"metricValues": "*MetricValue"},
}


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="externalscaler.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            repeated = kind.startswith("*")
            made = message.field.add(name=field, number=number, json_name=field)
            made.label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            kind = kind.removeprefix("*")
            if kind in _SCALARS:
                made.type = _SCALARS[kind]
            else:
                made.type, made.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    return file


_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_file())
_CLASSES = message_factory.GetMessages([_file()], pool=_POOL)


def message(name: str) -> Any:
    """The class of a message, by its name in the interface."""
    return _CLASSES[f"{_PACKAGE}.{name}"]
