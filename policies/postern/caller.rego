# METADATA
# title: The caller
# description: Who is calling, from `input.identity` only, which Postern fills in once it has verified the token.
package postern.caller

# METADATA
# description: Whether the caller was verified and has a name.
default authenticated := false

authenticated if {
	input.identity.authenticated == true
	is_string(input.identity.subject)
	input.identity.subject != ""
}

# METADATA
# description: The caller's name; undefined for a caller who was not verified.
subject := input.identity.subject if authenticated

# METADATA
# description: Whether the `roles` claim, a list, has the role.
has_role(role) if {
	authenticated
	is_array(input.identity.claims.roles)
	role in input.identity.claims.roles
}

# METADATA
# description: The tenant the caller belongs to, from the `tenant` claim.
tenant := claim("tenant")

# METADATA
# description: The region the caller works in, from the `region` claim.
region := claim("region")

claim(name) := input.identity.claims[name] if {
	authenticated
	is_string(input.identity.claims[name])
}
