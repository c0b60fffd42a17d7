# METADATA
# title: Routes
# description: |
#   Which requests the policy knows, and what each asks of its caller. A request that no route knows is denied.
package postern.routes

import data.postern.caller
import data.postern.tenants

method := input.attributes.request.http.method

path := input.parsed_path

reads if method in {"GET", "HEAD"}

# METADATA
# description: The route that the request takes; undefined for a request that the policy does not know.
route := "data" if {
	reads
	array.slice(path, 0, 2) == ["v1", "data"]
	complete
}

route := "tenant" if {
	reads
	array.slice(path, 0, 2) == ["v1", "tenants"]
	count(path) > 2
	complete
}

# An empty segment makes /v1/data/ or /v1//data another path than the one that was meant.
complete if not "" in path

default granted := false

# METADATA
# description: Whether a known route was taken and nothing speaks against it.
granted if {
	route
	count(denials) == 0
}

# METADATA
# description: Everything that speaks against the request.
denials contains "unknown route" if not route

denials contains "not authenticated" if not caller.authenticated

denials contains "role analyst is missing" if {
	route
	caller.authenticated
	not caller.has_role("analyst")
}

denials contains reason if {
	route == "tenant"
	caller.authenticated
	some reason in tenants.denials(path[2])
}
