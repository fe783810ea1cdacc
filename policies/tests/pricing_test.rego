package tests.pricing

import data.cordon
import data.tests.inputs

read := inputs.with_changes({
	"intent": {"purpose": "pricing", "scope": ["read:pricing:*"]},
	"resource": {"type": "pricing_data"},
})

test_reads_prices if cordon.decision == {"allow": true, "reasons": [], "obligations": {}} with input as read

test_reaching_for_personal_data_is_contained if {
	expected := {
		"allow": false,
		"reasons": [{"code": "pricing.reached_for_personal_data"}],
		"obligations": {"alert": "high", "containment": "quarantined"},
	}
	cordon.decision == expected with input as object.union(read, {"resource": {"type": "personal_data"}})
}

test_prices_are_for_pricing if not cordon.decision.allow with input as object.union(read, {"intent": {"purpose": "other"}})
