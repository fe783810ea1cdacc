package tests.decision

import data.cordon
import data.tests.hiring
import data.tests.inputs

test_an_empty_input_is_denied if {
	cordon.decision == {"allow": false, "reasons": [{"code": "policy.agent_is_unknown"}], "obligations": {}} with input as {}
}

test_without_an_agent_is_denied if not cordon.decision.allow with input as object.remove(hiring.read, ["agent"])

test_what_nobody_allows_is_denied if {
	cordon.decision.reasons == [{"code": "policy.no_rule_allows"}] with input as inputs.base
}

test_one_deny_overrides_every_allow if {
	rules := {"a": {"allow": true}, "b": {"deny": {{"code": "b.no"}}}}
	cordon.decision == {"allow": false, "reasons": [{"code": "b.no"}], "obligations": {}} with input as inputs.base with data.rules as rules
}

test_obligations_are_merged_to_the_strictest if {
	rules := {
		"a": {"allow": true, "redact": {"/x"}, "alert": "low", "containment": "quarantined", "max_response_bytes": 10},
		"b": {"redact": {"/y"}, "alert": "critical", "containment": "blocked", "max_response_bytes": 5},
	}
	expected := {"redact": ["/x", "/y"], "alert": "critical", "containment": "blocked", "max_response_bytes": 5}
	cordon.decision.obligations == expected with input as inputs.base with data.rules as rules
}
