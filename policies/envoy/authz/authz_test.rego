package envoy.authz_test

import data.envoy.authz

ann := {
	"authenticated": true,
	"subject": "ann",
	"claims": {"roles": ["analyst"], "tenant": "acme", "region": "eu"},
}

with_claims(claims) := object.union(ann, {"claims": claims})

# What Postern makes of a request: the path as it was sent, and its segments, decoded by whoever writes the test.
request(method, path, segments, identity) := {
	"attributes": {"request": {"http": {"method": method, "path": path}}},
	"parsed_path": segments,
	"identity": identity,
}

decide(method, path, identity) := decision if {
	segments := split(trim_left(split(path, "?")[0], "/"), "/")
	decision := authz.allow with input as request(method, path, segments, identity)
}

test_an_analyst_reads_data if {
	every path in ["/v1/data", "/v1/data/x", "/v1/data/x/y", "/v1/data?a=/b"] {
		decision := decide("GET", path, ann)
		decision.allowed == true
		decision.reasons == ["data_api"]
		decision.headers == {"x-user-id": "ann"}
	}
}

test_an_analyst_reads_the_data_of_her_tenant if {
	every method in ["GET", "HEAD"] {
		decision := decide(method, "/v1/tenants/acme/orders", ann)
		decision.allowed == true
		decision.reasons == ["tenants"]
	}
}

test_writing_is_denied if {
	every method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", ""] {
		every path in ["/v1/data", "/v1/tenants/acme/orders"] {
			decision := decide(method, path, ann)
			decision.allowed == false
			decision.reasons == ["method_not_allowed"]
		}
	}
}

test_paths_that_no_rule_covers_are_denied if {
	every path in ["/", "/v1", "/V1/data", "/v1/datax", "/x/v1/data", "/v1/tenants", "/v1/tenants/acme", "/healthz"] {
		decision := decide("GET", path, ann)
		decision.allowed == false
		count({"no_rule", "path_not_plain"} & {reason | some reason in decision.reasons}) == 1
	}
}

test_paths_that_can_be_read_in_two_ways_are_denied if {
	every path in ["//v1/data", "/v1//data", "/v1/data/", "/v1/data/..", "/v1/./data", "/v1/data;x", "/v1/data%2fx", `/v1/data\x`] {
		decision := decide("GET", path, ann)
		decision.allowed == false
		decision.reasons == ["path_not_plain"]
	}
}

test_an_escaped_path_is_denied_although_its_segments_are_plain if {
	decision := authz.allow with input as request("GET", "/v1/%64ata", ["v1", "data"], ann)
	decision.reasons == ["path_not_plain"]
}

test_nobody_is_denied if {
	every identity in [{"authenticated": false}, {}, object.union(ann, {"authenticated": false}), object.union(ann, {"authenticated": "true"}), object.union(ann, {"subject": ""}), object.union(ann, {"subject": 1})] {
		decision := decide("GET", "/v1/data", identity)
		decision.allowed == false
		decision.http_status == 403
		decision.reasons == ["unauthenticated"]
	}
}

test_another_role_is_not_enough if {
	every roles in [[], ["viewer"], ["analysts"], "analyst", {"analyst": true}, null] {
		decision := decide("GET", "/v1/data", with_claims({"roles": roles}))
		decision.allowed == false
		decision.reasons == ["role_missing"]
	}
}

test_the_data_of_another_tenant_is_denied if {
	every claims in [{"tenant": "globex"}, {"tenant": null}, {"tenant": ["acme"]}] {
		decision := decide("GET", "/v1/tenants/acme/orders", with_claims(claims))
		decision.allowed == false
		decision.reasons == ["tenant_mismatch"]
	}
}

test_data_of_another_region_is_denied if {
	decision := decide("GET", "/v1/tenants/acme/orders", with_claims({"region": "us"}))
	decision.allowed == false
	decision.reasons == ["region_mismatch"]
}

test_an_unknown_tenant_is_denied if {
	decision := decide("GET", "/v1/tenants/hooli/orders", with_claims({"tenant": "hooli"}))
	decision.allowed == false
	count(decision.reasons) > 0
}

test_missing_claims_are_denied if {
	identity := {"authenticated": true, "subject": "ann", "claims": {"roles": ["analyst"]}}
	decision := decide("GET", "/v1/tenants/acme/orders", identity)
	decision.allowed == false
	{"tenant_mismatch", "region_mismatch"} & {reason | some reason in decision.reasons} != set()
}

test_an_empty_input_is_denied if authz.allow.allowed == false with input as {}
