"""The one base of spec types: frozen, no unknown fields, camelCase outside and our unit-last names inside."""

from pydantic import BaseModel, ConfigDict

# Unit suffixes inside, and how the file spells them (Kubernetes style: `Seconds`, written out).
_UNITS = {"_s": "Seconds", "_usd": "Usd"}


def field_alias(name: str) -> str:
    """Spell a field as the file does: `ttft_s` is `ttftSeconds`, `kv_blocks` is `kvBlocks`."""
    suffix = ""
    for unit, spelled in _UNITS.items():
        if name.endswith(unit):
            name, suffix = name.removesuffix(unit), spelled
            break
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest) + suffix


class SpecModel(BaseModel):
    """A part of the deployment spec."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=field_alias,
        validate_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,  # the text below a field is its description in schema and docs
    )
