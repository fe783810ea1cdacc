# METADATA
# title: Reads inside the sandbox
# description: A sandbox deployment reads sandbox hosts; nobody writes there, and a sandbox agent reaches nothing else.
package rules.sandbox

import data.cordon.grants

applies if input.resource.type == "sandbox_files"

from_sandbox if {
	input.provenance.environment == "sandbox"
	input.provenance.deployment in data.sandbox.deployments
}

sandbox_host if input.resource.host in data.sandbox.hosts

allow if {
	applies
	grants.reads
	from_sandbox
	sandbox_host
	grants.scope("read", "sandbox", "*")
}

deny contains {"code": "sandbox.is_read_only"} if {
	applies
	not grants.reads
}

deny contains {"code": "sandbox.deployment_is_not_sandboxed"} if {
	applies
	not from_sandbox
}

deny contains {"code": "sandbox.host_is_outside"} if {
	applies
	not sandbox_host
}

deny contains {"code": "sandbox.agent_left_its_sandbox"} if {
	input.provenance.environment == "sandbox"
	not applies
}
