# METADATA
# title: The request
# description: Method and path in a form that leaves no two ways to read them.
package postern.request

# METADATA
# description: The method, as the client spelled it; methods are case-sensitive.
method := input.attributes.request.http.method

# METADATA
# description: >-
#   The path's segments; undefined unless the path is plain. Plain is a path that an upstream cannot split differently:
#   no percent-escapes, no empty segment (so no trailing or doubled slash), no dot segments, no path parameters.
segments := input.parsed_path if {
	# What was decoded is what was sent: also the leading slashes that parsed_path leaves out.
	split(input.attributes.request.http.path, "?")[0] == concat("", ["/", concat("/", input.parsed_path)])
	every segment in input.parsed_path {
		is_plain(segment)
	}
}

is_plain(segment) if {
	not segment in {"", ".", ".."}
	trim(segment, plain_characters) == ""
}

# RFC 3986 section 3.3: pchar without escapes and without the semicolon, which separates path parameters.
plain_characters := "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,=:@"
