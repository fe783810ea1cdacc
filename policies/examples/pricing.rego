# METADATA
# title: A pricing agent
# description: |
#   Reads pricing data. When it reaches for personal data it is denied, the SOC is alerted,
#   and the agent is quarantined by obligation.
package rules.pricing

import data.cordon.grants

own_task if input.intent.purpose == "pricing"

applies if input.resource.type == "pricing_data"

allow if {
	own_task
	applies
	grants.reads
	grants.scope("read", "pricing", "*")
}

personal if input.resource.type in {"personal_data", "customer_records"}

personal if input.resource.classification == "personal"

reached_for_personal_data if {
	own_task
	personal
}

alert := "high" if reached_for_personal_data

containment := "quarantined" if reached_for_personal_data

deny contains {"code": "pricing.reached_for_personal_data"} if reached_for_personal_data

deny contains {"code": "pricing.purpose_does_not_fit"} if {
	applies
	not own_task
}
