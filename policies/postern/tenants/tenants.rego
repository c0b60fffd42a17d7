# METADATA
# title: Tenants
# description: |
#   A tenant's data lives in one region and is read only by that tenant's own callers whose region claim is that region.
package postern.tenants

import data.postern.caller

known(tenant) if data.postern.tenants.regions[tenant]

is_own(tenant) if caller.claim("tenant") == tenant

is_near(tenant) if caller.claim("region") == data.postern.tenants.regions[tenant]

# METADATA
# description: What speaks against the caller's reading the data of this tenant.
denials(tenant) := {"unknown tenant"} if not known(tenant)

denials(tenant) := reasons if {
	known(tenant)
	strangers := {"another tenant's data" | not is_own(tenant)}
	distant := {"data of another region" | not is_near(tenant)}
	reasons := strangers | distant
}
