# METADATA
# title: Models by classification
# description: |
#   Data of a listed classification goes only to the models and versions listed for it; `*` is any version.
#   A guard: it never allows. A classification that is not listed has no model rule.
package rules.models

listed := data.models[input.resource.classification]

permitted if {
	some version in listed[input.provenance.model]
	version in {"*", input.provenance.model_version}
}

deny contains {"code": "models.model_is_not_allowed"} if {
	listed
	not permitted
}
