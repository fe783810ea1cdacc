package tests.autonomy

import data.cordon
import data.tests.hiring
import data.tests.inputs

autonomous(i) := object.union(i, {"session": {"initiator": {"type": "schedule", "id": "nightly"}}})

test_an_autonomous_chain_reads if cordon.decision.allow with data.jobs as inputs.jobs with input as autonomous(hiring.read)

test_an_autonomous_chain_does_not_write if {
	cordon.decision.reasons == [{"code": "autonomy.write_needs_a_human"}] with data.jobs as inputs.jobs with input as autonomous(hiring.score(87))
}

test_a_chain_without_initiator_does_not_write if {
	without := json.remove(hiring.score(87), ["session/initiator"])
	not cordon.decision.allow with data.jobs as inputs.jobs with input as without
}
