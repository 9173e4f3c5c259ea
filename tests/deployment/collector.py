"""An OpenTelemetry collector: takes spans by OTLP over HTTP, as protobuf, and keeps them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from gzip import decompress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from typing_extensions import override


@dataclass
class Collector:
    """Where it listens, and what came: the spans, and of each process what it says of itself."""

    url: str
    spans: list[Any] = field(default_factory=list)
    resources: list[dict[str, Any]] = field(default_factory=list)
    raw: bytes = b""

    def take(self, body: bytes) -> None:
        """Keep what one export holds."""
        self.raw += body
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            self.resources.append(attributes(group.resource))
            self.spans += [span for scope in group.scope_spans for span in scope.spans]

    def requests(self, **wanted: Any) -> list[Any]:
        """The spans of requests whose attributes, dots written as underscores, are these."""
        roots = [span for span in self.spans if span.kind == span.SPAN_KIND_SERVER]
        return [
            span
            for span in roots
            if wanted.items() <= {name.replace(".", "_"): value for name, value in attributes(span).items()}.items()
        ]

    def inside(self, parent: Any) -> list[Any]:
        """The spans directly inside another."""
        return [span for span in self.spans if span.parent_span_id == parent.span_id]


def attributes(item: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in item.attributes}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on the loopback interface, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            body = self.rfile.read(int(self.headers["Content-Length"]))
            collector.take(decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        @override
        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
