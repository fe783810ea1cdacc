# METADATA
# title: Customer data for order fulfilment
# description: Customer records are read for order fulfilment only, in the business hours of the team's time zone.
package rules.fulfilment

import data.cordon.grants

applies if input.resource.type == "customer_records"

for_fulfilment if input.intent.purpose == "order-fulfilment"

local_time := [grants.now_ns, data.business_hours.time_zone]

in_business_hours if {
	time.weekday(local_time) in data.business_hours.weekdays
	[hour, _, _] := time.clock(local_time)
	hour >= data.business_hours.from_hour
	hour < data.business_hours.to_hour
}

allow if {
	applies
	grants.reads
	for_fulfilment
	in_business_hours
	grants.scope("read", "customers", input.resource.params.customer_id)
}

deny contains {"code": "fulfilment.purpose_does_not_fit"} if {
	applies
	not for_fulfilment
}

deny contains {"code": "fulfilment.outside_business_hours"} if {
	applies
	not in_business_hours
}
