# METADATA
# title: Writes need a human
# description: Only a chain that a human started may write, an autonomous chain reads. This guard never allows.
package rules.autonomy

import data.cordon.grants

# Every MCP call is a POST; whether it writes is the tool's matter, so the method says nothing there.
applies if input.resource.type != "mcp_tools"

started_by_human if input.session.initiator.type in {"user", "human"}

deny contains {"code": "autonomy.write_needs_a_human"} if {
	applies
	not grants.reads
	not started_by_human
}
