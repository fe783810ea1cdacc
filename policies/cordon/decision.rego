# METADATA
# title: The decision
# description: |
#   The entry point of Cordon. It merges what every package under `rules` says:
#   `allow` (true), `deny` (a set of reasons), `redact` (a set of JSON pointers),
#   `containment`, `alert`, `max_response_bytes` and `judge_response` (true). A single deny overrides every allow,
#   and where nothing allows the answer is deny. Add a package under `rules` and it counts.
package cordon

# METADATA
# title: May this exchange pass?
# entrypoint: true
decision := {"allow": allowed, "reasons": reasons, "obligations": obligations}

default allowed := false

allowed if {
	known_agent
	some name
	data.rules[name].allow == true
	count(denials) == 0
}

# Without a proven agent nothing is allowed, whatever a package says.
known_agent if {
	startswith(input.agent.id, "spiffe://")
	is_string(input.resource.type)
	is_string(input.action.http.method)
}

denials contains reason if {
	some name
	some reason in data.rules[name].deny
}

reasons := [{"code": "policy.agent_is_unknown"}] if not known_agent

else := sort(denials) if count(denials) > 0

else := [] if allowed

else := [{"code": "policy.no_rule_allows"}]

obligations := object.union_n([redact, containment, alert, response_cap, judge_response])

# Redaction, the cap and the judgement belong to an answer; containment and alerts also to a refusal.
default redact := {}

redact := {"redact": pointers} if {
	allowed
	pointers := sort(redactions)
	count(pointers) > 0
}

redactions contains pointer if {
	some name
	some pointer in data.rules[name].redact
}

default response_cap := {}

response_cap := {"max_response_bytes": min(caps)} if {
	allowed
	count(caps) > 0
}

caps contains data.rules[_].max_response_bytes

default judge_response := {}

judge_response := {"judge_response": true} if {
	allowed
	some name
	data.rules[name].judge_response == true
}

default containment := {}

# The stricter wish wins.
containment := {"containment": "blocked"} if "blocked" in containments

else := {"containment": "quarantined"} if "quarantined" in containments

containments contains data.rules[_].containment

default alert := {}

alert := {"alert": "critical"} if "critical" in alerts

else := {"alert": "high"} if "high" in alerts

else := {"alert": "medium"} if "medium" in alerts

else := {"alert": "low"} if "low" in alerts

alerts contains data.rules[_].alert
