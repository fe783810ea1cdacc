# METADATA
# title: A refund task
# description: For the one customer in its intent it reads billing and writes refunds, nothing else.
package rules.refunds

import data.cordon.grants

# A task of this purpose gets nothing but the two resources below.
own_task if input.intent.purpose == "refund"

own_types := {"billing_records", "refunds"}

applies if input.resource.type in own_types

customer := input.intent.constraints.customer_id

allow if {
	own_task
	input.resource.type == "billing_records"
	grants.reads
	input.resource.params.customer_id == customer
	grants.scope("read", "billing", customer)
}

allow if {
	own_task
	input.resource.type == "refunds"
	input.action.http.method == "POST"
	own_customer
	amount_is_valid
	grants.scope("write", "refunds", customer)
}

# The body names the customer; a path that also does must agree with it.
own_customer if {
	input.action.arguments.customer_id == customer
	object.get(input.resource.params, "customer_id", customer) == customer
}

amount_is_valid if {
	is_number(input.action.arguments.amount)
	input.action.arguments.amount > 0
	input.action.arguments.amount <= data.refunds.amount_max
}

deny contains {"code": "refunds.task_has_another_purpose"} if {
	applies
	not own_task
}

deny contains {"code": "refunds.is_out_of_task"} if {
	own_task
	not applies
}

deny contains {"code": "refunds.customer_is_another"} if {
	input.resource.type == "refunds"
	not own_customer
}

deny contains {"code": "refunds.amount_is_not_allowed"} if {
	input.resource.type == "refunds"
	not amount_is_valid
}

deny contains {"code": "refunds.customer_is_another"} if {
	input.resource.type == "billing_records"
	not input.resource.params.customer_id == customer
}
