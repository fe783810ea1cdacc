# METADATA
# title: A hiring agent
# description: |
#   Reads and scores the candidates of the job in its intent, only what is safe for an interview,
#   never salary, and only until the job closes.
package rules.hiring

import data.cordon.grants

applies if input.resource.type in {"candidate_profiles", "candidate_scores", "candidate_salaries"}

job := input.resource.params.job_id

allow if {
	input.resource.type == "candidate_profiles"
	grants.reads
	granted
	common
}

allow if {
	input.resource.type == "candidate_scores"
	input.action.http.method == "POST"
	granted
	score_is_valid
	common
}

common if {
	interview_safe
	own_job
	job_is_open
	purpose_fits
}

granted if {
	input.resource.type == "candidate_profiles"
	grants.scope("read", "candidates", job)
}

granted if {
	input.resource.type == "candidate_scores"
	grants.scope("write", "scores", job)
}

interview_safe if input.resource.classification == "interview_safe"

own_job if input.intent.constraints.job_id == job

job_is_open if {
	data.jobs[job].open == true
	grants.now_ns < time.parse_rfc3339_ns(data.jobs[job].closes_at)
}

purpose_fits if input.intent.purpose in data.hiring.purposes

score_is_valid if {
	is_number(input.action.arguments.score)
	input.action.arguments.score >= 0
	input.action.arguments.score <= 100
}

# Profiles may carry a salary field: it never reaches the agent.
redact contains "/salary" if {
	input.resource.type == "candidate_profiles"
	allow
}

# The reasons, for the log. Each is the absence of a condition above, so none can fail open.
deny contains {"code": "hiring.salary_is_out_of_scope"} if input.resource.type == "candidate_salaries"

deny contains {"code": "hiring.is_not_interview_safe"} if {
	applies
	input.resource.type != "candidate_salaries"
	not interview_safe
}

deny contains {"code": "hiring.job_is_another"} if {
	applies
	not own_job
}

deny contains {"code": "hiring.job_is_closed"} if {
	applies
	not job_is_open
}

deny contains {"code": "hiring.purpose_does_not_fit"} if {
	applies
	not purpose_fits
}

deny contains {"code": "hiring.scope_is_missing"} if {
	input.resource.type in {"candidate_profiles", "candidate_scores"}
	not granted
}

deny contains {"code": "hiring.score_is_invalid"} if {
	input.resource.type == "candidate_scores"
	not score_is_valid
}
