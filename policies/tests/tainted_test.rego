package tests.tainted

import data.cordon
import data.tests.hiring
import data.tests.inputs

letter := object.union(hiring.read, {"resource": {"attributes": {"content": "foreign"}}})

tainted := {"session": {"labels": ["tainted"]}}

answer := {"response": {"kind": "document", "status": 200, "content_type": "application/json", "body": {"letter": "..."}}}

servers := {"desk": {"tools": {
	"read-ticket": {"purposes": ["*"], "foreign": true},
	"close-ticket": {"purposes": ["*"], "writes": true},
	"list-tickets": {"purposes": ["*"]},
}}}

call(tool) := inputs.with_changes({
	"intent": {"scope": ["call:mcp:desk"], "purpose": "assist"},
	"action": {
		"kind": "mcp",
		"class": "use",
		"method": "tools/call",
		"tool": tool,
		"arguments": {},
		"server": "desk",
		"http": {"method": "POST"},
	},
	"resource": {"type": "mcp_tools", "attributes": {"server": "desk"}},
})

test_the_answer_of_a_foreign_tool_is_judged if {
	cordon.decision.obligations.judge_response with input as letter with data.jobs as inputs.jobs
	cordon.decision.obligations == {"judge_response": true} with input as call("read-ticket") with data.mcp as servers
}

test_no_other_answer_is_judged if {
	not cordon.decision.obligations.judge_response with input as hiring.read with data.jobs as inputs.jobs
	cordon.decision.obligations == {} with input as call("list-tickets") with data.mcp as servers
}

test_it_passes_and_labels_its_session if {
	expected := {"allow": true, "reasons": [], "redact": [], "labels": ["tainted"]}
	cordon.response == expected with input as object.union(letter, answer)
	cordon.response == expected with input as object.union(call("read-ticket"), answer) with data.mcp as servers
}

test_an_answer_without_an_agent_is_withheld if {
	cordon.response.allow == false with input as answer
	cordon.response.labels == [] with input as object.remove(object.union(letter, answer), ["agent"])
}

test_a_tainted_session_reads_and_writes_no_more if {
	not denied with input as object.union(call("list-tickets"), tainted) with data.mcp as servers
	denied with input as object.union(call("close-ticket"), tainted) with data.mcp as servers
	not denied with input as call("close-ticket") with data.mcp as servers
	not denied with input as object.union(hiring.read, tainted)
	denied with input as object.union(object.union(hiring.read, inputs.post({"score": 1})), tainted)
}

denied if {"code": "tainted.a_stranger_was_read"} in cordon.decision.reasons

test_what_one_package_withholds_is_withheld_and_redactions_are_merged if {
	rules := {
		"a": {"withhold": {{"code": "a.no"}}, "redact_response": {"/x"}, "labels": {"seen"}},
		"b": {"redact_response": {"/y"}},
	}
	expected := {"allow": false, "reasons": [{"code": "a.no"}], "redact": ["/x", "/y"], "labels": ["seen"]}
	cordon.response == expected with input as object.union(inputs.base, answer) with data.rules as rules
}
