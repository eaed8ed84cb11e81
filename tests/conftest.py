"""Here so that this folder is on every test's path: what the tests of several folders share lies beside it."""

import pytest

from penstock.engine import engine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Some tests put a part of their own into the hot loop; in a compiled build nothing can be replaced."""
    if engine.__file__.endswith(".py"):
        return
    for item in items:
        if item.get_closest_marker("interpreted"):
            item.add_marker(pytest.mark.skip(reason="replaces a part of the hot loop, which is compiled here"))
