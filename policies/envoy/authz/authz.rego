# METADATA
# title: Decision
# description: |
#   What Envoy is told about a request. Everything is denied unless a route of postern.routes grants it.
package envoy.authz

import data.postern.caller
import data.postern.routes

default allow := {
	"allowed": false,
	"http_status": 403,
	"reason": "undecided",
	"body": `{"error":"forbidden","reason":"undecided"}`,
}

# METADATA
# title: May this request pass?
# entrypoint: true
allow := {
	"allowed": true,
	"reason": "granted",
	# What the upstream knows about the caller comes from here, whatever the client sent.
	"headers": {"x-user-id": {"value": caller.subject, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}},
} if {
	routes.granted
	caller.subject != ""
}

allow := {
	"allowed": false,
	"http_status": status,
	"reasons": reasons,
	"body": json.marshal({"error": "forbidden", "reasons": reasons}),
} if {
	not routes.granted
	reasons := [reason | some reason in routes.denials]
	count(reasons) > 0
}

default status := 403

status := 401 if not caller.authenticated
