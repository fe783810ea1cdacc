package tests.fulfilment

import data.cordon
import data.tests.inputs

# 15:00 UTC on a Monday in November is 10:00 in New York.
read := inputs.with_changes({
	"intent": {"purpose": "order-fulfilment", "scope": ["read:customers:7"]},
	"resource": {"type": "customer_records", "classification": "personal", "params": {"customer_id": "7"}},
})

at(time) := object.union(read, {"environment": {"time": time}})

codes(i) := result if {
	result := {reason.code | some reason in cordon.decision.reasons} with input as i
}

test_reads_in_business_hours if cordon.decision.allow with input as read

test_hours_follow_the_time_zone if {
	cordon.decision.allow with input as at("2026-11-23T14:00:00Z")
	codes(at("2026-11-23T13:59:59Z")) == {"fulfilment.outside_business_hours"}
	cordon.decision.allow with input as at("2026-11-23T21:59:59Z")
	codes(at("2026-11-23T22:00:00Z")) == {"fulfilment.outside_business_hours"}
}

test_summer_time if cordon.decision.allow with input as at("2026-07-06T13:00:00Z")

test_never_at_the_weekend if codes(at("2026-11-22T15:00:00Z")) == {"fulfilment.outside_business_hours"}

test_only_for_fulfilment if {
	codes(object.union(read, {"intent": {"purpose": "marketing"}})) == {"fulfilment.purpose_does_not_fit"}
}

test_an_unreadable_time_is_outside if codes(at("soon")) == {"fulfilment.outside_business_hours"}
