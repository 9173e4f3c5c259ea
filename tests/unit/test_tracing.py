"""Who decides whether a request is sampled."""

import re
from typing import Any

import pytest
from opentelemetry import propagate
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Decision, ParentBased, Sampler, TraceIdRatioBased

from todo_api.observability.tracing import OwnDecision, exporting_to

NEVER, ALWAYS = TraceIdRatioBased(0.0), TraceIdRatioBased(1.0)
TRACE_ID = 1  # so small that any ratio takes it


def decide(sampler: Sampler, flags: str) -> Decision:
    """For a request whose ``traceparent`` has these flags."""
    parent = propagate.extract({"traceparent": f"00-{TRACE_ID:032x}-b7ad6b7169203331-{flags}"})
    decision: Decision = OwnDecision(sampler).should_sample(parent, TRACE_ID, "GET").decision
    return decision


@pytest.mark.parametrize("flags", ["00", "01"])
@pytest.mark.parametrize(
    ("root", "decision"), [(NEVER, Decision.DROP), (ALWAYS, Decision.RECORD_AND_SAMPLE)], ids=["never", "always"]
)
def test_flag_of_the_client_decides_nothing(flags: str, root: Sampler, decision: Decision) -> None:
    assert decide(ParentBased(root), flags) is decision


def test_trace_id_of_the_client_decides_nothing() -> None:
    assert TraceIdRatioBased(1e-9).should_sample(None, TRACE_ID, "GET").decision is Decision.RECORD_AND_SAMPLE
    assert decide(ParentBased(TraceIdRatioBased(1e-9)), "01") is Decision.DROP


def test_span_inside_is_sampled_with_its_request() -> None:
    sampler: Any = OwnDecision(ParentBased(TraceIdRatioBased(0.5)))
    tracer = TracerProvider(sampler=sampler).get_tracer("x")
    for _ in range(40):
        with tracer.start_as_current_span("request") as request, tracer.start_as_current_span("database") as inner:
            assert request.is_recording() is inner.is_recording()


def test_sampler_of_the_environment_is_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0.05")
    provider: Any = exporting_to("http://127.0.0.1:9", "1")
    provider.shutdown()

    assert re.fullmatch(r"OwnDecision\(ParentBased.*0\.05.*\)", provider.sampler.get_description())


def test_description_names_the_sampler_inside() -> None:
    assert OwnDecision(ALWAYS).get_description() == f"OwnDecision({ALWAYS.get_description()})"
