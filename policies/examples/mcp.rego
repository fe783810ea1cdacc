# METADATA
# title: MCP servers by scope, their tools by purpose
# description: |
#   An agent reaches the MCP server that its scope names. What it may use there stands in `data.mcp`, for each server:
#   tools, prompts and resources with the purposes they are for, and for a tool the most that a number may be and what
#   is redacted in its result.
#   The same question answers what it sees, so no list names what a call would be refused.
package rules.mcp

import data.cordon.grants

applies if input.resource.type == "mcp_tools"

is_message if input.action.kind == "mcp"

default server := ""

server := input.resource.attributes.server

# A route of kind `mcp` always knows its server.
granted if {
	is_message
	grants.scope("call", "mcp", input.action.server)
}

granted if {
	not is_message
	grants.scope("call", "mcp", server)
}

granted if {
	not is_message
	grants.scope("call", "mcp", input.resource.route)
}

# Until a route names its server, this one scope stands for the public test server.
granted if {
	not is_message
	server == ""
	grants.scope("call", "mcp", "everything")
}

# A route of kind `http` is passed on unread.
allow if {
	applies
	not is_message
	input.action.http.method in {"POST", "GET", "DELETE"}
	granted
}

# What only keeps a conversation going needs the server and nothing else. Lists are filtered below.
allow if {
	applies
	is_message
	granted
	input.action.class in {"lifecycle", "notification", "reply", "session", "list", "setting"}
}

allow if {
	applies
	is_message
	granted
	named_item_is_usable
	arguments_fit
}

allow if {
	applies
	is_message
	granted
	input.action.class == "listen"
	count(subscriptions - usable_subscriptions) == 0
}

# The list in `data.mcp` that each kind of name is looked up in.
lists := {"tool": "tools", "prompt": "prompts", "resource": "resources"}

named_item_is_usable if {
	input.action.class == "use"
	some kind, list in lists
	usable(list, input.action[kind])
}

usable(list, name) if some_purpose(data.mcp[input.action.server][list][name].purposes)

some_purpose(purposes) if "*" in purposes

some_purpose(purposes) if input.intent.purpose in purposes

default maxima := {}

maxima := data.mcp[input.action.server].tools[input.action.tool].arguments_max

# A number that is missing, or no number, does not fit.
arguments_fit if {
	every name, most in maxima {
		is_number(input.action.arguments[name])
		input.action.arguments[name] <= most
	}
}

default subscriptions := set()

subscriptions := {uri | some uri in input.action.arguments.notifications.resourceSubscriptions}

usable_subscriptions contains uri if {
	some uri in subscriptions
	usable("resources", uri)
}

redact contains pointer if {
	applies
	is_message
	some tool in answering_tools
	some pointer in data.mcp[input.action.server].tools[tool].redact
}

answering_tools contains input.action.tool

# A result that was missed comes again on the stream of its session, and nothing says there which tool it is of.
answering_tools contains tool if {
	input.action.method in {"session/stream", "tasks/result"}
	some tool, _ in data.mcp[input.action.server].tools
	usable("tools", tool)
}

visible contains item.name if {
	applies
	is_message
	granted
	# Looked up once: a list may have hundreds of items.
	usable_by := data.mcp[input.action.server][input.list.kind]
	some item in input.list.items
	some_purpose(usable_by[item.name].purposes)
}

# The scope is for the caller: it may ask its issuer for it. It says the same whatever is called, so it tells nothing of
# what `data.mcp` lists.
deny contains object.union({"code": "mcp.scope_is_missing"}, missing_scope) if {
	applies
	not granted
}

default missing_scope := {}

missing_scope := {"scope": concat(":", ["call", "mcp", input.action.server])} if is_message

missing_scope := {"scope": concat(":", ["call", "mcp", server])} if {
	not is_message
	server != ""
}

deny contains {"code": "mcp.item_is_not_for_this_purpose"} if {
	applies
	input.action.class == "use"
	not named_item_is_usable
}

deny contains {"code": "mcp.arguments_do_not_fit"} if {
	applies
	input.action.class == "use"
	named_item_is_usable
	not arguments_fit
}
