# METADATA
# title: What the token grants
# description: Small questions that the rule packages share.
package cordon.grants

# A scope is `action:resource:identifier`, three exact parts; only the identifier may be `*`.
scope(action, resource, identifier) if concat(":", [action, resource, identifier]) in input.intent.scope

scope(action, resource, _) if concat(":", [action, resource, "*"]) in input.intent.scope

reads if input.action.http.method in {"GET", "HEAD"}

# The time of the exchange, nanoseconds: the only clock there is, so that a recorded decision can be computed again.
now_ns := time.parse_rfc3339_ns(input.environment.time)
