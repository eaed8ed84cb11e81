"""`penstock schema`: the JSON Schema of a deployment file, for editors and docs."""

from penstock.cli.output import print_document
from penstock.messages.parse_spec import json_schema


def schema() -> None:
    """Print the JSON Schema of a deployment file."""
    print_document(json_schema())
