package tests.sandbox

import data.cordon
import data.tests.inputs

read := inputs.with_changes({
	"intent": {"scope": ["read:sandbox:*"]},
	"provenance": {"environment": "sandbox", "deployment": "sandbox-1"},
	"resource": {"type": "sandbox_files", "host": "sandbox.acme.example"},
})

codes(i) := result if {
	result := {reason.code | some reason in cordon.decision.reasons} with input as i
}

test_reads_inside if cordon.decision.allow with input as read

test_never_writes if codes(object.union(read, inputs.post({}))) == {"sandbox.is_read_only"}

test_only_from_a_sandbox if {
	codes(object.union(read, {"provenance": {"environment": "production"}})) == {"sandbox.deployment_is_not_sandboxed"}
	codes(object.union(read, {"provenance": {"deployment": "eu-1"}})) == {"sandbox.deployment_is_not_sandboxed"}
}

test_only_sandbox_hosts if codes(object.union(read, {"resource": {"host": "tool.acme.example"}})) == {"sandbox.host_is_outside"}

test_never_leaves if "sandbox.agent_left_its_sandbox" in codes(object.union(read, {"resource": {"type": "pricing_data"}}))
