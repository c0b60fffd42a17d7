# METADATA
# title: The data API
# description: Analysts read `/v1/data` and what is below it.
package postern.data_api

import data.postern.caller
import data.postern.request

default covers := false

# METADATA
# description: Whether this rule is about the request's path.
covers if array.slice(request.segments, 0, 2) == ["v1", "data"]

default granted := false

# METADATA
# description: Whether the caller may do this.
granted if {
	covers
	request.method == "GET"
	caller.has_role("analyst")
}

# METADATA
# description: What is missing for a grant. Empty for requests that this rule is not about.
misses contains "method_not_allowed" if {
	covers
	not request.method == "GET"
}

misses contains "role_missing" if {
	covers
	not caller.has_role("analyst")
}
