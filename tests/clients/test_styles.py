"""The service, called as other people's front ends call it."""

import pytest

from tests.clients.node import node_tests
from tests.harness import Server


@pytest.mark.parametrize("name", ["styles", "lists", "http"])
def test_request_styles_of_other_front_ends_work(name: str, server: Server) -> None:
    node_tests(f"{name}.test.mjs", server)


def test_calls_of_the_nextjs_example_work(server: Server) -> None:
    node_tests("nextjs.test.mjs", server)
