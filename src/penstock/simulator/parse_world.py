"""A world file in; a `WorldSpec`, or one line that says which field is wrong and what would be right."""

from penstock.messages.parse_spec import parse_document
from penstock.simulator.world_spec import VirtualCluster, WorldSpec


def parse_world(text: str, *, source: str) -> WorldSpec:
    """Parse one world. Raises: InputError, for the first thing that is wrong."""
    return parse_document(text, VirtualCluster, source=source, what="world").spec
