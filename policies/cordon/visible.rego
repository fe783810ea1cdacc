# What an agent can see is what it may use: the gateway asks once for each list that an MCP server answers with.
package cordon

# METADATA
# title: Which items of a list may this agent see?
# description: |
#   `input` is that of the decision on the list's request, with one more member: `input.list` has its `kind` (`tools`,
#   `prompts`, `resources`, `resource_templates`) and its `items`, each with the `name` it is called by. The answer is a
#   set of names. Every package under `rules` may say what is `visible` and what is `hidden`; one `hidden` overrides.
# entrypoint: true
visible contains name if {
	known_agent
	some rule
	some name in data.rules[rule].visible
	not name in hidden
}

hidden contains name if {
	some rule
	some name in data.rules[rule].hidden
}
