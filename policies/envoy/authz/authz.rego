# METADATA
# title: The decision
# description: >-
#   What Envoy's ext_authz filter is answered. Denied, unless one of the rules grants the request; a denial says why in
#   `reasons`, which is for the log. The client sees no more than the category in `body`.
package envoy.authz

import data.postern.caller
import data.postern.data_api
import data.postern.request
import data.postern.tenants

default allow := {
	"allowed": false,
	"reasons": ["denied_by_default"],
	"http_status": 403,
	"body": `{"error":"forbidden"}`,
}

# METADATA
# title: Whether the request may pass
# description: The upstream learns who is calling from `x-user-id`, which replaces whatever the client sent.
# entrypoint: true
allow := {
	"allowed": true,
	"reasons": sort(grants),
	"headers": {"x-user-id": caller.subject},
} if {
	caller.authenticated
	count(grants) > 0
}

allow := {
	"allowed": false,
	"reasons": ["unauthenticated"],
	"http_status": 403,
	"body": `{"error":"unauthenticated"}`,
} if {
	not caller.authenticated
}

allow := {
	"allowed": false,
	"reasons": sort(denials),
	"http_status": 403,
	"body": `{"error":"forbidden"}`,
} if {
	caller.authenticated
	count(grants) == 0
}

# METADATA
# title: Rules that grant the request, by name
# description: A rule belongs here once it grants, and into `denials` with what it misses.
grants contains "data_api" if data_api.granted

grants contains "tenants" if tenants.granted

# METADATA
# title: What keeps a verified caller out
# description: Only the rules whose paths cover the request have something to say; `no_rule` when there is none.
denials contains "path_not_plain" if not request.segments

denials contains "no_rule" if {
	request.segments
	not data_api.covers
	not tenants.covers
}

denials contains reason if some reason in data_api.misses

denials contains reason if some reason in tenants.misses
