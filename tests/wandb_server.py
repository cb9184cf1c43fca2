"""A stand-in for W&B's server on loopback: the GraphQL endpoint's wire form, with the faults that a network has.

Queries are parsed, checked and executed by graphql-core against the part of the schema that W&B's public clients show,
so that a field or an argument that the real endpoint hasn't got is an error here as well.

    python -m tests.wandb_server RUNS.json     serves until its stdin ends; prints its address
"""

from __future__ import annotations

import gzip
import json
import sys
import threading
import time
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from graphql import GraphQLSchema, build_schema, graphql_sync

KEY = "0123456789abcdef0123456789abcdef01234567"
SCHEMA = """
scalar JSON
scalar JSONString
scalar Int64
scalar DateTime
type Query { viewer: User, project(name: String, entityName: String): Project, serverInfo: ServerInfo }
type ServerInfo { features: [Feature] }
type Feature { name: String, isEnabled: Boolean }
type User { id: ID!, name: String, username: String, email: String, admin: Boolean, flags: JSONString, entity: String,
            deletedAt: DateTime, apiKeys: ApiKeys, teams: Teams }
type ApiKeys { edges: [ApiKeyEdge] }
type ApiKeyEdge { node: ApiKey }
type ApiKey { id: ID!, name: String!, description: String }
type Teams { edges: [TeamEdge] }
type TeamEdge { node: Team }
type Team { name: String }
type PageInfo { endCursor: String, hasNextPage: Boolean! }
type Project { internalId: Int, readOnly: Boolean, runCount(filters: JSONString): Int, run(name: String!): Run
               runs(filters: JSONString, after: String, first: Int, order: String): Runs }
type Runs { edges: [RunEdge!]!, pageInfo: PageInfo! }
type RunEdge { node: Run!, cursor: String }
type Run { id: ID!, name: String!, displayName: String, projectId: Int, state: String, config: JSONString
           summaryMetrics: JSONString, systemMetrics: JSONString, historyKeys: JSON, historyLineCount: Int
           history(minStep: Int64, maxStep: Int64, samples: Int): [String!]!
           sampledHistory(specs: [JSONString!]!): [JSON!]!
           parquetHistory(liveKeys: [String!]!): Parquet
           tags: [String!], group: String, jobType: String, sweepName: String, commit: String, readOnly: Boolean
           createdAt: DateTime!, heartbeatAt: DateTime, description: String, notes: String, user: User }
type Parquet { parquetUrls: [String!]!, liveData: [JSON] }
"""


@dataclass
class ServedRun:
    """A run as the server has it: plain values, and history rows with their ``_step``."""

    run_id: str
    config: Mapping[str, Any] = field(default_factory=dict)
    summary: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    state: str = "finished"
    display_name: str = "brisk-sunset-7"
    tags: Sequence[str] = ()
    created_at: str = "2026-10-18T14:32:15Z"
    heartbeat_at: str = "2026-10-18T15:32:15Z"

    def node(self) -> dict[str, Any]:
        def history(_info: Any, minStep: int = 0, maxStep: int | None = None, samples: int | None = None) -> list[str]:
            rows = [
                row for row in self.history if minStep <= row["_step"] and (maxStep is None or row["_step"] < maxStep)
            ]
            return [json.dumps(row) for row in sampled(rows, samples or 500)]

        def sampled_history(_info: Any, specs: list[str]) -> list[list[dict[str, Any]]]:
            return [self._spec(json.loads(spec)) for spec in specs]

        def history_keys(_info: Any) -> dict[str, Any]:
            counts = Counter(name for row in self.history for name in row)
            keys = {name: {"typeCounts": [{"type": "number", "count": count}]} for name, count in counts.items()}
            last = self.history[-1]["_step"] if self.history else -1
            return {"keys": keys, "lastStep": last, "sets": []}

        return {
            "id": f"stored-{self.run_id}",
            "name": self.run_id,
            "displayName": self.display_name,
            "projectId": 1,
            "state": self.state,
            "config": lambda _info: json.dumps(
                {key: {"desc": None, "value": value} for key, value in self.config.items()}
            ),
            "summaryMetrics": lambda _info: json.dumps(dict(self.summary)),
            "systemMetrics": "{}",
            "historyKeys": history_keys,
            "historyLineCount": len(self.history),
            "history": history,
            "sampledHistory": sampled_history,
            "parquetHistory": lambda _info, liveKeys: {"parquetUrls": [], "liveData": []},
            "tags": list(self.tags),
            "readOnly": False,
            "createdAt": self.created_at,
            "heartbeatAt": self.heartbeat_at,
            "user": {"id": "u", "name": "Ada", "username": "ada"},
        }

    def _spec(self, spec: Mapping[str, Any]) -> list[dict[str, Any]]:
        keys = spec.get("keys") or []
        low, high = spec.get("minStep", 0), spec.get("maxStep", float("inf"))
        rows = [
            {key: row[key] for key in keys}
            for row in self.history
            if low <= row["_step"] <= high and all(key in row for key in keys)
        ]
        return sampled(rows, spec.get("samples", 500))


@lru_cache(maxsize=1)
def huge() -> bytes:
    """51 MB in 50 kB."""
    return gzip.compress(b" " * (51 * 2**20), 1)


def sampled(rows: list[Any], samples: int) -> list[Any]:
    """Evenly spaced where there are more rows than samples."""
    if len(rows) <= samples:
        return rows
    return [rows[index * len(rows) // samples] for index in range(samples)]


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer. ``times`` is for how many requests, None for all."""

    kind: str  # status, hang, drop, drip, not json, deep, huge, redirect, errors
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    location: str = ""


class WandbServer:
    """Serves in threads of its own. ``runs`` are by (entity, project), then by id."""

    def __init__(self, *, latency: float = 0.0, max_page: int = 10_000) -> None:
        self.runs: dict[tuple[str, str], dict[str, ServedRun]] = {}
        self.latency = latency
        self.max_page = max_page
        self.repeat_last = False
        self.faults: list[Fault] = []
        self.operations: list[str] = []
        self.moments: list[float] = []
        self.keys: set[str] = set()
        self.refused: dict[tuple[str, str], int] = {}
        self.together: threading.Barrier | None = None
        self._schema: GraphQLSchema = build_schema(SCHEMA)
        self._lock = threading.Lock()
        self._ending = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server._serve(self, body)

            def log_message(self, *_: Any) -> None:
                return

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> WandbServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._ending.set()
        self._http.shutdown()
        self._thread.join()
        self._http.server_close()

    def add(self, entity: str, project: str, *runs: ServedRun) -> None:
        self.runs.setdefault((entity, project), {}).update({run.run_id: run for run in runs})

    def forget(self) -> None:
        """Of the requests so far."""
        self.operations.clear()
        self.moments.clear()

    def _serve(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        question = json.loads(body)
        operation = question["query"].split("query", 1)[-1].strip().split("(")[0].split("{")[0].strip()
        with self._lock:
            self.operations.append(operation)
            self.moments.append(time.monotonic())
            token = handler.headers.get("Authorization", "").partition(" ")[2]
            self.keys.add(b64decode(token or "").decode().partition(":")[2])
            fault = self._next_fault()
        if self.together is not None:
            self.together.wait()
        time.sleep(self.latency)
        if fault is not None and self._misbehave(handler, fault):
            return
        variables = question.get("variables") or {}
        place = (variables.get("entity"), variables.get("project"))
        if place in self.refused:
            self._send(handler, self.refused[place], b'{"errors": [{"message": "permission denied"}]}')
            return
        result = graphql_sync(self._schema, question["query"], self._root(), variable_values=variables)
        answer: dict[str, Any] = {"data": result.data}
        if result.errors:
            answer["errors"] = [{"message": error.message} for error in result.errors]
        self._send(handler, 400 if result.errors and result.data is None else 200, json.dumps(answer).encode())

    def _next_fault(self) -> Fault | None:
        for place, fault in enumerate(self.faults):
            if fault.times is None:
                return fault
            if fault.times > 0:
                self.faults[place] = Fault(fault.kind, fault.status, fault.headers, fault.times - 1, fault.location)
                return fault
        return None

    def _misbehave(self, handler: BaseHTTPRequestHandler, fault: Fault) -> bool:
        if fault.kind == "status":
            self._send(handler, fault.status, b"{}", fault.headers)
        elif fault.kind == "headers":
            handler.extra = fault.headers  # type: ignore[attr-defined]
            return False
        elif fault.kind == "hang":
            self._ending.wait(30)
            handler.close_connection = True
        elif fault.kind == "drip":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
            while not self._ending.wait(0.05):
                try:
                    handler.wfile.write(b" ")
                except OSError:
                    break
            handler.close_connection = True
        elif fault.kind == "drop":
            handler.close_connection = True
        elif fault.kind == "not json":
            self._send(handler, 200, b"<html>Bad gateway</html>")
        elif fault.kind == "deep":
            self._send(handler, 200, b'{"data": ' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001)
        elif fault.kind == "huge":
            self._send(handler, 200, huge(), {"Content-Encoding": "gzip"})
        elif fault.kind == "redirect":
            self._send(handler, 302, b"", {"Location": fault.location})
        elif fault.kind == "errors":
            self._send(handler, 200, json.dumps({"data": None, "errors": [{"message": f"boom {KEY}"}]}).encode())
        return True

    @staticmethod
    def _send(
        handler: BaseHTTPRequestHandler, status: int, body: bytes, headers: Mapping[str, str] | None = None
    ) -> None:
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        for name, value in {**getattr(handler, "extra", {}), **(headers or {})}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def _root(self) -> dict[str, Any]:
        edges = {"edges": [{"node": {"name": "team"}}]}
        viewer = {
            "id": "u",
            "entity": "team",
            "username": "ada",
            "name": "Ada",
            "email": "ada@example.com",
            "admin": False,
            "flags": "{}",
            "teams": edges,
            "apiKeys": {"edges": []},
        }
        return {"viewer": viewer, "project": self._project, "serverInfo": {"features": []}}

    def _project(self, _info: Any, name: str | None = None, entityName: str | None = None) -> Any:
        runs = self.runs.get((entityName or "team", name or ""))
        if runs is None:
            return None

        def run(_info: Any, name: str) -> Any:
            return runs[name].node() if name in runs else None

        def listed(
            _info: Any, filters: str = "{}", after: str | None = None, first: int = 50, order: str | None = None
        ) -> Any:
            del order
            wanted = json.loads(filters or "{}").get("name", {}).get("$in")
            names = [name for name in runs if wanted is None or name in wanted]
            start = int(after or 0)
            end = start + min(first, self.max_page)
            shown = names[start - (1 if self.repeat_last and start else 0) : end]
            return {
                "edges": [{"node": runs[name].node(), "cursor": str(end)} for name in shown],
                "pageInfo": {"endCursor": str(end), "hasNextPage": end < len(names)},
            }

        return {"internalId": 1, "readOnly": False, "runCount": len(runs), "run": run, "runs": listed}


@contextmanager
def serving(**settings: Any) -> Iterator[WandbServer]:
    server = WandbServer(**settings).start()
    try:
        yield server
    finally:
        server.stop()


def main() -> None:
    server = WandbServer(latency=float(sys.argv[2]) if len(sys.argv) > 2 else 0.0).start()
    for entity, project, run in json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")):
        server.add(entity, project, ServedRun(**run))
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        if line.strip() == "count":
            sys.stdout.write(f"{len(server.operations)}\n")
            sys.stdout.flush()
            server.forget()
    server.stop()


if __name__ == "__main__":
    main()
