"""The six endpoints, called as other people's front ends call them."""

from tests.clients.node import node_tests
from tests.harness import Server


def test_calls_of_the_nextjs_example_work(server: Server) -> None:
    node_tests("nextjs.test.mjs", server)


def test_request_styles_of_other_front_ends_work(server: Server) -> None:
    node_tests("styles.test.mjs", server)
