package tests.models

import data.cordon
import data.tests.fulfilment
import data.tests.hiring
import data.tests.inputs

model(name, version) := {"provenance": {"model": name, "model_version": version}}

test_a_listed_version_passes if {
	cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(fulfilment.read, model("claude-sonnet-5", "2026-09-01"))
}

test_another_version_is_refused if {
	refused := object.union(fulfilment.read, model("claude-sonnet-5", "2026-08-01"))
	cordon.decision.reasons == [{"code": "models.model_is_not_allowed"}] with data.jobs as inputs.jobs with input as refused
}

test_a_star_is_any_version if cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(fulfilment.read, model("claude-opus-5", "x"))

test_another_model_is_refused if not cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(fulfilment.read, model("other", "*"))

test_a_classification_without_a_list_has_no_model_rule if {
	cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(hiring.read, model("other", "1"))
}
