"""YAML text in; a deployment spec, or one line that says which field is wrong and what would be right."""

import re
from difflib import get_close_matches
from itertools import pairwise
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from penstock.errors import InputError
from penstock.messages.scaling_spec import Scaling
from penstock.messages.spec import InferenceDeployment

Model = TypeVar("Model", bound=BaseModel)

_OWNERS = ("planner", "hpa", "keda", "none", "external")


def parse_spec(text: str, *, source: str) -> InferenceDeployment:
    """Parse one deployment.

    Args:
        source: the file's name, as errors should show it.
    Raises: InputError, for the first thing that is wrong.
    """
    return parse_document(text, InferenceDeployment, source=source, what="deployment")


def parse_document(text: str, model: type[Model], *, source: str, what: str) -> Model:
    """Parse one YAML document of any of our kinds, as `parse_spec` does. `what`: how errors call it."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "cannot be read"
        raise InputError(
            f"{source}{line}", f"not valid YAML ({problem})", "check indentation, quotes and colons"
        ) from error
    except ValueError as error:  # a date without such a day, a number of thousands of digits
        why = _lower_first(str(error).partition(";")[0])
        raise InputError(source, f"a value in it cannot be read ({why})", "quote it, if it is meant as text") from error
    except RecursionError as error:
        raise InputError(source, "nested too deeply", f"a {what} has about six levels") from error
    if not isinstance(document, dict):
        raise InputError(source, f"no {what} in it", "start with apiVersion: penstock.dev/v1alpha1")
    try:
        return model.model_validate(document, by_alias=True, by_name=False)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        # A misspelt field is reported twice, as unknown and as missing: the first says what to do.
        first = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
        raise _as_input_error(first, source, model) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a deployment file, for editors and docs."""
    schema = InferenceDeployment.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema


def _as_input_error(error: ErrorDetails, source: str, model: type[BaseModel]) -> InputError:
    # Pydantic names the chosen kind of autoscaling in the path; the file does not.
    location = tuple(
        part for before, part in pairwise(("", *error["loc"])) if not (before == "autoscaling" and part in _OWNERS)
    )
    path = _dotted(location)
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        what, fix = "missing", _fix_for_missing(str(location[-1]))
    elif kind == "extra_forbidden":
        what, fix = "unknown field", _fix_for_unknown(str(location[-1]), model)
    elif kind == "value_error":
        message = str(error["ctx"]["error"])
        head, _, tail = message.partition("; ")
        inner, _, rest = head.partition(": ")
        if rest and re.fullmatch(r"[\w\[\].]+", inner):  # the validator named a field below its model
            path, head = (f"{path}.{inner}" if path else inner), rest
        what, fix = head, tail
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        owner = given.get("by") if isinstance(given, dict) else given
        path = f"{path}.by"
        what = f"no owner {owner!r}" if kind == "union_tag_invalid" else "missing"
        fix = f"name one of {', '.join(_OWNERS)}"
    else:
        what, fix = f"{_shortened(given)} will not do", _lower_first(error["msg"])
    return InputError(f"{source}: {path}" if path else source, what, fix)


def _dotted(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else part
    return path


def _fix_for_missing(name: str) -> str:
    if name == "max":
        return "a pool that scales needs an upper bound, set max"
    return f"set {name}"


def _fix_for_unknown(name: str, model: type[BaseModel]) -> str:
    close = get_close_matches(name, _field_names(model), n=1)
    return f"did you mean {close[0]}?" if close else "remove it"


def _field_names(root: type[BaseModel]) -> list[str]:
    """Every field name that a file of this kind may use anywhere."""
    names: set[str] = set()
    todo: list[type[BaseModel]] = [root, *(get_args(get_args(Scaling)[0]) if root is InferenceDeployment else ())]
    seen: set[type[BaseModel]] = set()
    while todo:
        model = todo.pop()
        if model in seen:
            continue
        seen.add(model)
        for field in model.model_fields.values():
            names.add(field.alias or "")
            todo.extend(_models_in(field.annotation))
    return sorted(names)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _shortened(given: object) -> str:
    text = repr(given)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _lower_first(text: str) -> str:
    return text[:1].lower() + text[1:]
