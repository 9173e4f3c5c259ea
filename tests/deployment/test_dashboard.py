"""The Grafana dashboard.

Every query finds its series in what the running service says at /metrics.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import promql_parser as promql
import psycopg
import pytest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from tests.harness import SERVE, Server, cloned_database, running

DASHBOARD = json.loads((Path(__file__).parents[2] / "deploy/grafana/dashboard.json").read_text())
QUERIES = {panel["title"]: [target["expr"] for target in panel["targets"]] for panel in DASHBOARD["panels"]}
GRAFANAS_OWN = {"$__rate_interval": "1m"}


@dataclass(frozen=True)
class Selector:
    """One series selector of a query, and the labels that an aggregation around it keeps."""

    metric: str
    patterns: dict[str, str]
    kept: frozenset[str]

    def finds(self, sample: Sample) -> bool:
        """Whether Prometheus would select this sample."""
        return sample.name == self.metric and all(
            re.fullmatch(pattern, sample.labels.get(name, "")) for name, pattern in self.patterns.items()
        )


def parsed(query: str) -> promql.Expr:
    """The query as Grafana would send it, parsed by Prometheus's grammar."""
    for name, value in GRAFANAS_OWN.items():
        query = query.replace(name, value)
    return promql.parse(query)


def pattern(matcher: promql.Matcher) -> str:
    """What the whole of a label's value has to match."""
    assert matcher.op in (promql.MatchOp.Equal, promql.MatchOp.Re)
    return matcher.value if matcher.op == promql.MatchOp.Re else re.escape(matcher.value)


def selectors(node: Any, kept: frozenset[str] = frozenset()) -> Iterator[Selector]:
    """Every selector in an expression."""
    if isinstance(node, promql.VectorSelector):
        yield Selector(node.name or "", {item.name: pattern(item) for item in node.matchers.matchers}, kept)
    elif isinstance(node, promql.AggregateExpr):
        assert node.modifier is None or node.modifier.type == promql.AggModifierType.By
        yield from selectors(node.expr, kept | frozenset(node.modifier.labels if node.modifier else ()))
    elif isinstance(node, promql.BinaryExpr):
        yield from selectors(node.lhs, kept)
        yield from selectors(node.rhs, kept)
    elif isinstance(node, promql.Call):
        for argument in node.args:
            yield from selectors(argument, kept)
    elif isinstance(node, promql.MatrixSelector):
        yield from selectors(node.vector_selector, kept)
    elif isinstance(node, promql.ParenExpr):
        yield from selectors(node.expr, kept)
    else:
        assert isinstance(node, promql.NumberLiteral), node


ALL = [
    (title, selector)
    for title, queries in QUERIES.items()
    for query in queries
    for selector in selectors(parsed(query))
]


def play(server: Server) -> None:
    """Something for every panel to show."""
    user = server.user()
    task = user.create()
    user.http.get(user.path(task))
    user.http.patch(f"{user.path(task)}/complete")
    user.http.delete(user.path(task))
    user.http.get("/api/somebody-else/tasks")
    httpx.get(f"{server.url}{user.base}")


@pytest.fixture(scope="module")
def samples(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """What two workers say at /metrics after requests that succeed, are rejected and fail."""
    directory = tmp_path_factory.mktemp("measured")
    with (
        cloned_database(postgres) as url,
        running(directory, [*SERVE, "--workers", "2"], DATABASE_URL=url) as server,
    ):
        play(server)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("ALTER TABLE tasks RENAME TO gone")
        user = server.user()
        assert user.http.get(user.base).status_code == 503
        text = ""
        while not all(each in text for each in ("task.deleted", 'status="401"', 'status="403"', 'status="503"')):
            text = httpx.get(f"{server.url}/metrics").text  # a worker tells the other once a second
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def test_every_panel_has_a_query_and_a_place_of_its_own() -> None:
    cells = [
        (x, y)
        for place in (panel["gridPos"] for panel in DASHBOARD["panels"])
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert all(QUERIES.values())
    assert len(QUERIES) == len(DASHBOARD["panels"]) == len({panel["id"] for panel in DASHBOARD["panels"]})
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize("query", [query for queries in QUERIES.values() for query in queries])
def test_query_is_promql(query: str) -> None:
    assert list(selectors(parsed(query)))


@pytest.mark.parametrize(("title", "selector"), ALL, ids=[f"{title}: {selector.metric}" for title, selector in ALL])
def test_selector_finds_series_with_the_labels_it_needs(title: str, selector: Selector, samples: list[Sample]) -> None:
    found = [sample for sample in samples if selector.finds(sample)]

    assert found
    assert all(selector.kept <= set(sample.labels) for sample in found)


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=list(QUERIES))
def test_legend_names_labels_that_the_query_keeps(panel: dict[str, Any]) -> None:
    for target in panel["targets"]:
        named = {part.split("}}")[0] for part in target["legendFormat"].split("{{")[1:]}
        kept = {label for selector in selectors(parsed(target["expr"])) for label in selector.kept} - {"le"}

        assert named == kept


def test_every_metric_of_ours_is_on_the_dashboard(samples: list[Sample]) -> None:
    shown = {selector.metric for _, selector in ALL}
    families = {sample.name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for sample in samples}

    assert {family for family in families if not any(metric.startswith(family) for metric in shown)} == set()
