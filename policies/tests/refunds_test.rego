package tests.refunds

import data.cordon
import data.tests.inputs

base := inputs.with_changes({
	"intent": {"purpose": "refund", "scope": ["read:billing:1234", "write:refunds:1234"], "constraints": {"customer_id": "1234"}},
	"resource": {"type": "billing_records", "params": {"customer_id": "1234"}},
})

refund(arguments) := object.union(object.union(base, inputs.post(arguments)), {"resource": {"type": "refunds"}})

codes(i) := result if {
	result := {reason.code | some reason in cordon.decision.reasons} with input as i
}

test_reads_billing_of_its_customer if cordon.decision.allow with input as base

test_writes_a_refund_for_its_customer if cordon.decision.allow with input as refund({"customer_id": "1234", "amount": 20})

test_another_customer_is_refused if {
	"refunds.customer_is_another" in codes(refund({"customer_id": "9", "amount": 20}))
	"refunds.customer_is_another" in codes(object.union(base, {"resource": {"params": {"customer_id": "9"}}}))
}

test_amounts_are_bounded if {
	every amount in [0, -5, 501, "20"] {
		codes(refund({"customer_id": "1234", "amount": amount})) == {"refunds.amount_is_not_allowed"}
	}
}

test_nothing_else if "refunds.is_out_of_task" in codes(object.union(base, {"resource": {"type": "candidate_profiles"}}))

test_billing_is_not_written if not cordon.decision.allow with input as object.union(base, inputs.post({}))

test_another_purpose_is_refused if {
	"refunds.task_has_another_purpose" in codes(object.union(base, {"intent": {"purpose": "marketing"}}))
}
