# METADATA
# title: A stranger's words end a session's writes
# description: |
#   A web page, a letter or a ticket may hold words that steer the agent that reads it. What such a tool answers labels the
#   session `tainted`, and from then on nobody of its chain or its task changes anything. A route says by the attribute
#   `content: foreign` that its tool reads strangers' text; of an MCP server's tool `data.mcp` says it (`foreign`), and
#   which ones change something (`writes`).
package rules.tainted

import data.cordon.grants

foreign if input.resource.attributes.content == "foreign"

foreign if tools[input.action.tool].foreign == true

# A result that was missed comes again on the stream of its session, and nothing says there which tool it is of.
foreign if {
	input.action.method in {"session/stream", "tasks/result"}
	some tool in tools
	tool.foreign == true
}

default tools := {}

tools := data.mcp[input.action.server].tools

judge_response if foreign

labels contains "tainted" if foreign

deny contains {"code": "tainted.a_stranger_was_read"} if {
	"tainted" in input.session.labels
	writes
}

writes if {
	input.action.kind == "http"
	not grants.reads
}

writes if tools[input.action.tool].writes == true
