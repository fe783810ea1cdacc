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

missing(server) := [{"code": "mcp.scope_is_missing", "scope": concat(":", ["call", "mcp", server])}]

test_the_missing_scope_is_named_for_the_server if {
	other := {"resource": {"attributes": {"server": "payroll"}}}
	cordon.decision.reasons == missing("payroll") with input as object.union(call, other)
	cordon.decision.reasons == missing("payroll") with input as message("lifecycle", "initialize", {"server": "payroll"})
}

# Also for a tool that nobody listed: whoever lacks the server learns nothing of what it has.
test_the_missing_scope_tells_nothing_of_the_tools if {
	every tool in ["echo", "get-tiny-image", "get-env"] {
		asked := object.union(message("use", "tools/call", {"tool": tool}), {"intent": {"scope": []}})
		scopes := {reason.scope | some reason in cordon.decision.reasons} with input as asked with data.mcp as servers
		scopes == {"call:mcp:everything"}
	}
}

test_no_scope_is_named_where_none_would_help if {
	image := message("use", "tools/call", {"tool": "get-tiny-image"})
	every reason in cordon.decision.reasons { not reason.scope } with input as image with data.mcp as servers
}

# Of the tests alone, so that an operator's own data may say something else.
servers := {"everything": {
	"tools": {
		"echo": {"purposes": ["*"]},
		"get-sum": {"purposes": ["*"], "arguments_max": {"a": 1000, "b": 1000}},
		"get-tiny-image": {"purposes": ["assist"]},
		"get-structured-content": {"purposes": ["assist"], "redact": ["/structuredContent/humidity"]},
	},
	"resources": {"demo://resource/static/document/features.md": {"purposes": ["*"]}},
}}

# A message on a route of kind `mcp`.
message(class, method, more) := object.union(
	inputs.with_changes({
		"intent": {"scope": ["call:mcp:everything"], "purpose": "explore"},
		"resource": {"type": "mcp_tools"},
	}),
	{"action": object.union(
		{"kind": "mcp", "class": class, "method": method, "arguments": {}, "protocol_version": "2026-07-28", "server": "everything", "http": {"method": "POST"}},
		more,
	)},
)

sum(a, b) := message("use", "tools/call", {"tool": "get-sum", "arguments": {"a": a, "b": b}})

test_a_tool_of_its_purpose_may_be_called if cordon.decision.allow with input as message("use", "tools/call", {"tool": "echo"}) with data.mcp as servers

test_a_tool_of_another_purpose_is_refused if {
	image := message("use", "tools/call", {"tool": "get-tiny-image"})
	cordon.decision.reasons == [{"code": "mcp.item_is_not_for_this_purpose"}] with input as image with data.mcp as servers
	cordon.decision.allow with input as object.union(image, {"intent": {"purpose": "assist"}}) with data.mcp as servers
}

test_a_tool_that_nobody_listed_is_refused if {
	not cordon.decision.allow with input as message("use", "tools/call", {"tool": "get-env"}) with data.mcp as servers
}

test_one_argument_decides if {
	cordon.decision.allow with input as sum(2, 1000) with data.mcp as servers
	cordon.decision.reasons == [{"code": "mcp.arguments_do_not_fit"}] with input as sum(2, 1001) with data.mcp as servers
	not cordon.decision.allow with input as sum(2, "1") with data.mcp as servers
	not cordon.decision.allow with input as message("use", "tools/call", {"tool": "get-sum", "arguments": {"a": 2}}) with data.mcp as servers
}

test_a_message_that_names_nothing_needs_the_server_alone if {
	every class in ["lifecycle", "notification", "reply", "session", "list", "setting"] {
		cordon.decision.allow with input as message(class, "any", {}) with data.mcp as servers
		not cordon.decision.allow with input as message(class, "any", {"server": "payroll"}) with data.mcp as servers
	}
	not cordon.decision.allow with input as message("use", "tasks/list", {}) with data.mcp as servers
	not cordon.decision.allow with input as message("use", "tasks/get", {"task": "1"}) with data.mcp as servers
}

test_a_subscription_needs_each_of_its_resources if {
	features := "demo://resource/static/document/features.md"
	cordon.decision.allow with input as message("listen", "subscriptions/listen", {"arguments": {"notifications": {}}}) with data.mcp as servers
	cordon.decision.allow with input as message("listen", "subscriptions/listen", {"arguments": {"notifications": {"resourceSubscriptions": [features]}}}) with data.mcp as servers
	not cordon.decision.allow with input as message("listen", "subscriptions/listen", {"arguments": {"notifications": {"resourceSubscriptions": [features, "demo://other"]}}}) with data.mcp as servers
}

tools := object.union(message("list", "tools/list", {}), {"list": {"kind": "tools", "items": [
	{"name": "echo"},
	{"name": "get-env"},
	{"name": "get-tiny-image", "annotations": {"readOnlyHint": true}},
]}})

test_an_agent_sees_what_it_may_use if {
	cordon.visible == {"echo"} with input as tools with data.mcp as servers
	cordon.visible == {"echo", "get-tiny-image"} with input as object.union(tools, {"intent": {"purpose": "assist"}}) with data.mcp as servers
}

test_one_hidden_overrides_every_visible if {
	rules := {"a": {"visible": {"echo", "get-env"}}, "b": {"hidden": {"echo"}}}
	cordon.visible == {"get-env"} with input as tools with data.mcp as servers with data.rules as rules
}

test_nothing_is_visible_without_the_scope_or_the_agent if {
	cordon.visible == set() with input as object.union(tools, {"intent": {"scope": []}}) with data.mcp as servers
	cordon.visible == set() with input as object.remove(tools, ["agent"]) with data.mcp as servers
	cordon.visible == set() with input as {} with data.mcp as servers
}

test_a_result_is_redacted_for_its_own_tool_alone if {
	assist := {"intent": {"purpose": "assist"}}
	weather := object.union(message("use", "tools/call", {"tool": "get-structured-content"}), assist)
	cordon.decision.obligations == {"redact": ["/structuredContent/humidity"]} with input as weather with data.mcp as servers
	echo := object.union(message("use", "tools/call", {"tool": "echo"}), assist)
	cordon.decision.obligations == {} with input as echo with data.mcp as servers
}

test_what_comes_again_on_a_session_is_redacted_for_whoever_may_call_the_tool if {
	again := message("session", "session/stream", {"http": {"method": "GET"}})
	cordon.decision.obligations == {} with input as again with data.mcp as servers
	assisting := object.union(again, {"intent": {"purpose": "assist"}})
	cordon.decision.obligations == {"redact": ["/structuredContent/humidity"]} with input as assisting with data.mcp as servers
}
