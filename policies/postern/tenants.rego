# METADATA
# title: Tenants and their regions
# description: >-
#   What is below `/v1/tenants/{tenant}` is read by analysts of that tenant who work in the region where the tenant's data
#   is kept (`data.tenants`).
package postern.tenants

import data.postern.caller
import data.postern.request

# METADATA
# description: The tenant that the path names; undefined for paths that this rule is not about.
tenant := request.segments[2] if {
	array.slice(request.segments, 0, 2) == ["v1", "tenants"]
	count(request.segments) > 3
}

# METADATA
# description: The region where that tenant's data is kept; undefined for a tenant that is not listed.
region := data.tenants[tenant].region

default covers := false

# METADATA
# description: Whether this rule is about the request's path.
covers if is_string(tenant)

default granted := false

# METADATA
# description: Whether the caller may do this.
granted if {
	covers
	reads
	caller.has_role("analyst")
	same_tenant
	same_region
}

reads if request.method in {"GET", "HEAD"}

same_tenant if caller.tenant == tenant

same_region if caller.region == region

# METADATA
# description: What is missing for a grant. Empty for requests that this rule is not about.
misses contains "method_not_allowed" if {
	covers
	not reads
}

misses contains "role_missing" if {
	covers
	not caller.has_role("analyst")
}

misses contains "tenant_mismatch" if {
	covers
	not same_tenant
}

misses contains "tenant_unknown" if {
	covers
	not region
}

misses contains "region_mismatch" if {
	covers
	region
	not same_region
}
