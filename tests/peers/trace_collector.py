"""A trace collector: takes OTLP over HTTP, reads it with OpenTelemetry's own messages, and appends each span to a file as a line of JSON.

    trace_collector.py FILE     says its port on standard output, ends when standard input closes
"""

import http.server
import json
import os
import sys
import threading

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


def text(value):
    return getattr(value, value.WhichOneof("value"))


class Collector(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path != "/v1/traces" or self.headers["content-type"] != "application/x-protobuf":
            return self.answer(404, b"")
        asked = ExportTraceServiceRequest.FromString(body)
        with open(sys.argv[1], "a", encoding="utf-8") as file:
            for resource in asked.resource_spans:
                service = {pair.key: text(pair.value) for pair in resource.resource.attributes}
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        row = {
                            "service": service.get("service.name"),
                            "trace": span.trace_id.hex(),
                            "span": span.span_id.hex(),
                            "parent": span.parent_span_id.hex(),
                            "name": span.name,
                            "kind": span.kind,
                            "from": span.start_time_unix_nano,
                            "to": span.end_time_unix_nano,
                            "status": span.status.code,
                            "attributes": {pair.key: text(pair.value) for pair in span.attributes},
                        }
                        file.write(json.dumps(row) + "\n")
        self.answer(200, ExportTraceServiceResponse().SerializeToString())

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Collector)
print(server.server_port, flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
os._exit(0)
