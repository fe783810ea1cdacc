# Inputs that the tests build on; each test changes what it is about.
package tests.inputs

base := {
	"agent": {"id": "spiffe://acme.example/agent/o1/t1/i1"},
	"principal": {"type": "user", "id": "alice"},
	"intent": {"task": "t1", "purpose": "none", "scope": [], "details": [], "constraints": {}},
	"provenance": {"model": "claude-sonnet-5", "model_version": "2026-09-01", "deployment": "eu-1", "environment": "production"},
	"session": {"initiator": {"type": "user", "id": "alice"}, "depth": 0, "chain": []},
	"action": {"kind": "http", "method": "GET", "arguments": null, "http": {"method": "GET"}},
	"resource": {"route": "r", "type": "none", "classification": "internal", "attributes": {}, "params": {}, "host": "tool.acme.example"},
	"environment": {"time": "2026-11-23T15:00:00.000Z"},
}

# The jobs of the tests, so that a job can close in the policy's own data without breaking them.
jobs := {
	"J42": {"open": true, "closes_at": "2036-01-01T00:00:00Z"},
	"J43": {"open": false, "closes_at": "2036-01-01T00:00:00Z"},
	"J44": {"open": true, "closes_at": "2025-01-01T00:00:00Z"},
}

# The base with the given members laid over it, at every depth.
with_changes(changes) := object.union(base, changes)

post(arguments) := {"action": {"method": "POST", "arguments": arguments, "http": {"method": "POST"}}}
