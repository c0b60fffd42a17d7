# METADATA
# title: Caller
# description: |
#   Who is calling, as Postern verified it (input.identity). Nothing here looks at a token itself.
package postern.caller

default authenticated := false

# METADATA
# description: Whether a token was verified.
authenticated if input.identity.authenticated == true

default subject := ""

# METADATA
# description: The verified subject; empty for nobody.
subject := input.identity.subject if authenticated

# METADATA
# description: Whether the caller's claims give it this role. Claims, not a database, say which roles one has.
has_role(role) if {
	authenticated
	role in input.identity.claims.roles
}

# METADATA
# description: A claim of the caller's; undefined when there is none.
claim(name) := value if {
	authenticated
	value := input.identity.claims[name]
}
