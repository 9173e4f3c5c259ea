"""What the metrics rely on in prometheus_client, a test for each thing."""

from collections.abc import Iterator

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric


class Collector:
    """One histogram from numbers of our own."""

    def collect(self) -> Iterator[Metric]:
        """The histogram."""
        histogram = HistogramMetricFamily("seconds", "How long.", labels=["route"])
        histogram.add_metric(["/x"], [("0.5", 1), ("+Inf", 3)], 4.5)
        yield histogram


def test_histogram_of_cumulative_buckets_and_a_sum_is_written_out() -> None:
    registry = CollectorRegistry()
    registry.register(Collector())
    lines = generate_latest(registry).decode().splitlines()

    assert [line for line in lines if not line.startswith("#")] == [
        'seconds_bucket{le="0.5",route="/x"} 1.0',
        'seconds_bucket{le="+Inf",route="/x"} 3.0',
        'seconds_count{route="/x"} 3.0',
        'seconds_sum{route="/x"} 4.5',
    ]


def test_default_registry_describes_the_process() -> None:
    assert b"process_resident_memory_bytes" in generate_latest(REGISTRY)
