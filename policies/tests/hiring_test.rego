package tests.hiring

import data.cordon
import data.tests.inputs

changes := {
	"intent": {
		"purpose": "rank-candidates",
		"scope": ["read:candidates:J42", "write:scores:J42"],
		"constraints": {"job_id": "J42"},
	},
	"resource": {"type": "candidate_profiles", "classification": "interview_safe", "params": {"job_id": "J42", "candidate_id": "c1"}},
}

read := inputs.with_changes(changes)

score(value) := object.union(object.union(read, {"resource": {"type": "candidate_scores"}}), inputs.post({"score": value}))

codes(i) := result if {
	result := {reason.code | some reason in cordon.decision.reasons} with data.jobs as inputs.jobs with input as i
}

test_reads_its_job_without_salary if {
	cordon.decision == {"allow": true, "reasons": [], "obligations": {"redact": ["/salary"]}} with data.jobs as inputs.jobs with input as read
}

test_scores_its_candidates if cordon.decision.allow with data.jobs as inputs.jobs with input as score(87)

test_a_score_is_from_0_to_100 if {
	every value in [-1, 101, "90", null] {
		codes(score(value)) == {"hiring.score_is_invalid"}
	}
}

test_salary_is_refused if {
	"hiring.salary_is_out_of_scope" in codes(object.union(read, {"resource": {"type": "candidate_salaries", "classification": "restricted"}}))
}

test_another_job_is_refused if {
	"hiring.job_is_another" in codes(object.union(read, {"resource": {"params": {"job_id": "J43"}}}))
}

test_only_interview_safe if {
	codes(object.union(read, {"resource": {"classification": "internal"}})) == {"hiring.is_not_interview_safe"}
}

test_a_closed_job_takes_its_permissions_with_it if {
	closed := {"J42": {"open": false, "closes_at": "2036-01-01T00:00:00Z"}}
	some reason in cordon.decision.reasons with input as read with data.jobs as closed
	reason.code == "hiring.job_is_closed"
}

test_a_job_ends_at_its_time if {
	codes(object.union(read, {"environment": {"time": "2036-01-01T00:00:00Z"}})) == {"hiring.job_is_closed"}
}

test_a_job_that_nobody_knows_is_closed if {
	some reason in cordon.decision.reasons with input as read with data.jobs as {}
	reason.code == "hiring.job_is_closed"
}

test_the_scope_is_needed if {
	codes(object.union(read, {"intent": {"scope": ["read:candidates:J4"]}})) == {"hiring.scope_is_missing"}
}

test_only_the_identifier_may_be_a_star if {
	cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(read, {"intent": {"scope": ["read:candidates:*"]}})
	not cordon.decision.allow with data.jobs as inputs.jobs with input as object.union(read, {"intent": {"scope": ["*:*:*", "read:*:J42", "*:candidates:J42"]}})
}

test_the_purpose_must_fit if {
	codes(object.union(read, {"intent": {"purpose": "marketing"}})) == {"hiring.purpose_does_not_fit"}
}
