"""A pydantic model as the structural schema of a custom resource: the spec's own types are the one source.

Kubernetes takes a narrower language than JSON Schema: no `$ref`, no `const`, no alternatives of different types, and
`exclusiveMinimum` is a flag beside `minimum`, as in OpenAPI 3.0. A union that a field tells apart (`by`) becomes one
object with the fields of all its kinds, and CEL rules that say which kind has which.

Defaults are written for what stands alone. Inside `engine` and a union they are left to whoever reads the object: an
engine derives from its profile what nobody stated, and a default would look like a statement.

Sources: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]
Rules = Mapping[str, Sequence[tuple[str, str]]]

_KEPT = (
    "type",
    "description",
    "pattern",
    "minLength",
    "maxLength",
    "minimum",
    "maximum",
    "minItems",
    "maxItems",
    "enum",
)
_NO_DEFAULTS_IN = frozenset({"EngineSpec", "PlannerScaling"})


def structural_schema(model: type[BaseModel], rules: Rules) -> Schema:
    """The schema of a model.

    Args:
        rules: by a model's name, its CEL rules, each with the message that a user reads.
    Raises: ValueError, for what has no structural form.
    """
    document = model.model_json_schema(by_alias=True)
    return _Conversion(document.get("$defs", {}), rules).of(document | {"title": model.__name__})


class _Conversion:
    """One schema with its definitions."""

    def __init__(self, definitions: Mapping[str, Schema], rules: Rules) -> None:
        self._definitions = definitions
        self._rules = rules

    def of(self, schema: Schema, *, defaults: bool = True) -> Schema:
        """Convert what a schema says, definitions and all below it."""
        schema = self._resolved(schema)
        if "anyOf" in schema:
            return self._of_alternatives(schema, defaults=defaults)
        if "oneOf" in schema:
            return self._of_kinds(schema)
        made = {key: schema[key] for key in _KEPT if key in schema}
        if "const" in schema:
            made["enum"] = [schema["const"]]
        for bound in ("minimum", "maximum"):
            exclusive = f"exclusive{bound.capitalize()}"
            if exclusive in schema:
                made |= {bound: schema[exclusive], exclusive: True}
        kind = schema.get("type")
        if kind == "array":
            made["items"] = items = self.of(schema["items"], defaults=defaults)
            if "name" in items.get("required", ()):  # of a name there is one; and who applies one leaves the others be
                made |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
        elif kind == "object":
            made |= self._object(schema, defaults=defaults)
        elif kind is None:
            raise ValueError(f"no structural schema for {schema}")
        return made

    def _resolved(self, schema: Schema) -> Schema:
        """Follow a reference; what stands beside it counts more. The definition's name is its title."""
        if "$ref" not in schema:
            return schema
        name = schema["$ref"].rpartition("/")[2]
        return {
            **self._definitions[name],
            "title": name,
            **{k: v for k, v in schema.items() if k not in ("$ref", "title")},
        }

    def _object(self, schema: Schema, *, defaults: bool) -> Schema:
        if "properties" not in schema:
            return self._map(schema)
        name = schema.get("title", "")
        defaults = defaults and name not in _NO_DEFAULTS_IN
        made: Schema = {"properties": {}}
        for field, value in schema["properties"].items():
            made["properties"][field] = self._property(value, defaults=defaults)
        if "required" in schema:
            made["required"] = list(schema["required"])
        if name in self._rules:
            made["x-kubernetes-validations"] = [{"rule": rule, "message": say} for rule, say in self._rules[name]]
        return made

    def _map(self, schema: Schema) -> Schema:
        """Any names; where these follow a pattern, a rule says so, for a structural schema can't."""
        patterns = schema.get("patternProperties", {})
        values = schema.get("additionalProperties", True)
        if not patterns and values is True:
            return {"x-kubernetes-preserve-unknown-fields": True}
        ((pattern, values),) = patterns.items() if patterns else ((None, values),)
        made: Schema = {"additionalProperties": self.of(values)}
        if "maxProperties" in schema:
            made["maxProperties"] = schema["maxProperties"]
        if pattern is not None:
            rule = f"self.all(name, name.matches('{pattern}'))"
            made["x-kubernetes-validations"] = [{"rule": rule, "message": f"a name must match {pattern}"}]
        return made

    def _property(self, schema: Schema, *, defaults: bool) -> Schema:
        made = self.of(schema, defaults=defaults)
        default = schema.get("default")
        if not defaults or default is None or self._resolved(schema).get("title") in _NO_DEFAULTS_IN:
            return made
        if isinstance(default, dict) and "properties" in made:
            default = {"by": default["by"]} if "by" in default else {}  # the fields below have their own
        if default != []:
            made["default"] = default
        return made

    def _of_alternatives(self, schema: Schema, *, defaults: bool) -> Schema:
        """`X or null` is X that may be left out; text or a number is Kubernetes' int-or-string."""
        options = [option for option in schema["anyOf"] if option.get("type") != "null"]
        if len(options) == 1:
            beside = {key: value for key, value in schema.items() if key not in ("anyOf", "title", "default")}
            return self.of({**options[0], **beside}, defaults=defaults)
        options = [self._resolved(option) for option in options]
        if {option.get("type") for option in options} == {"string", "integer"}:
            words = [option["const"] for option in options if "const" in option]
            number = next(option for option in options if option["type"] == "integer")
            low, high = number["minimum"], number["maximum"]
            is_word = " || ".join(f"self == '{word}'" for word in words)
            rule = f"type(self) == int ? (self >= {low} && self <= {high}) : ({is_word})"
            say = f"give {', '.join(words)}, or a number from {low} to {high}"
            made: Schema = {"x-kubernetes-int-or-string": True}
            if "description" in schema:
                made["description"] = schema["description"]
            return made | {"x-kubernetes-validations": [{"rule": rule, "message": say}]}
        raise ValueError(f"no structural schema for alternatives of different kinds: {schema}")

    def _of_kinds(self, schema: Schema) -> Schema:
        """One object for a union that a field tells apart."""
        tag = schema["discriminator"]["propertyName"]
        kinds: dict[str, Schema] = {
            word: self.of({"$ref": reference}, defaults=False)
            for word, reference in schema["discriminator"]["mapping"].items()
        }
        names = {word: reference.rpartition("/")[2] for word, reference in schema["discriminator"]["mapping"].items()}
        properties: dict[str, Schema] = {
            tag: {"type": "string", "enum": sorted(kinds), "description": "Which kind it is; exactly one."}
        }
        owners: dict[str, list[str]] = {}
        needed: dict[str, list[str]] = {}
        for word, kind in kinds.items():
            for field, value in kind["properties"].items():
                if field == tag:
                    continue
                known = properties.setdefault(field, value)
                if _without_words(known) != _without_words(value):
                    raise ValueError(f"{field} means different things in kinds of {tag}")
                owners.setdefault(field, []).append(word)
            for field in kind.get("required", ()):
                if field != tag:
                    needed.setdefault(field, []).append(word)
        rules = [
            (
                f"!has(self.{field}) || self.{tag} in {sorted(words)}",
                f"{field} is only for {tag}: {', '.join(sorted(words))}",
            )
            for field, words in owners.items()
            if len(words) < len(kinds)
        ]
        rules += [
            (
                f"has(self.{field}) || !(self.{tag} in {sorted(words)})",
                f"{field} is needed for {tag}: {', '.join(sorted(words))}",
            )
            for field, words in needed.items()
        ]
        for name in dict.fromkeys(names.values()):
            rules += self._rules.get(name, ())
        return {
            "type": "object",
            **({"description": schema["description"]} if "description" in schema else {}),
            "properties": properties,
            "required": [tag],
            "x-kubernetes-validations": [{"rule": rule, "message": say} for rule, say in rules],
        }


def _without_words(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key != "description"}
