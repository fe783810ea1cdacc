# METADATA
# title: MCP servers by scope
# description: An agent reaches the MCP server that its scope names, by the route's `server` attribute or its name.
package rules.mcp

import data.cordon.grants

applies if input.resource.type == "mcp_tools"

default server := ""

server := input.resource.attributes.server

granted if grants.scope("call", "mcp", server)

granted if grants.scope("call", "mcp", input.resource.route)

# Until a route names its server, this one scope stands for the public test server.
granted if {
	server == ""
	grants.scope("call", "mcp", "everything")
}

allow if {
	applies
	input.action.http.method in {"POST", "GET", "DELETE"}
	granted
}

deny contains {"code": "mcp.scope_is_missing"} if {
	applies
	not granted
}
