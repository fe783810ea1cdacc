# What a tool answers, before the agent sees it: asked where a decision has the obligation `judge_response`.
package cordon

# METADATA
# title: What may the agent see of this answer?
# description: |
#   `input` is that of the decision on the request, with one more member: `input.response`, a JSON document, an event, or
#   a message of an MCP server. Every package under `rules` may give `withhold` (a set of reasons), `redact_response` (a
#   set of JSON pointers into what is judged) and `labels` (a set of words for the session). One `withhold` is enough.
# entrypoint: true
response := {
	"allow": passes,
	"reasons": sort(withheld),
	"redact": sort(response_redactions),
	"labels": sort(labels),
}

default passes := false

passes if {
	known_agent
	count(withheld) == 0
}

withheld contains reason if {
	some name
	some reason in data.rules[name].withhold
}

withheld contains {"code": "policy.agent_is_unknown"} if not known_agent

response_redactions contains pointer if {
	some name
	some pointer in data.rules[name].redact_response
}

labels contains label if {
	known_agent
	some name
	some label in data.rules[name].labels
}
