package tests.mcp

import data.cordon
import data.tests.inputs

call := object.union(
	inputs.with_changes({"intent": {"scope": ["call:mcp:everything"]}, "resource": {"type": "mcp_tools"}}),
	inputs.post({"method": "tools/list"}),
)

test_the_scope_opens_the_server if {
	every method in ["POST", "GET", "DELETE"] {
		cordon.decision.allow with input as object.union(call, {"action": {"http": {"method": method}}})
	}
}

test_other_methods_are_refused if not cordon.decision.allow with input as object.union(call, {"action": {"http": {"method": "PUT"}}})

test_a_named_server_needs_its_own_scope if {
	not cordon.decision.allow with input as object.union(call, {"resource": {"attributes": {"server": "payroll"}}})
}

test_without_the_scope_is_refused if {
	cordon.decision.reasons == [{"code": "mcp.scope_is_missing"}] with input as object.union(call, {"intent": {"scope": []}})
}
