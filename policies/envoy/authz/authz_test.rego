package envoy.authz_test

import data.envoy.authz

request(method, path, identity) := {
	"attributes": {"request": {"http": {"method": method}}},
	"parsed_path": path,
	"identity": identity,
}

nobody := {"authenticated": false}

ann := {
	"authenticated": true,
	"subject": "ann",
	"claims": {"roles": ["analyst"], "tenant": "acme", "region": "eu"},
}

with_claims(claims) := object.union(ann, {"claims": claims})

decide(method, path, identity) := decision if {
	decision := authz.allow with input as request(method, path, identity)
}

test_an_analyst_reads_data if {
	some path in [["v1", "data"], ["v1", "data", "x"], ["v1", "data", "x", "y"]]
	decision := decide("GET", path, ann)
	decision.allowed == true
	decision.headers["x-user-id"].value == "ann"
}

test_an_analyst_reads_data_of_her_tenant if decide("GET", ["v1", "tenants", "acme", "orders"], ann).allowed

test_writing_is_denied if {
	every method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "get", ""] {
		decision := decide(method, ["v1", "data"], ann)
		decision.allowed == false
		decision.reasons == ["unknown route"]
	}
}

test_other_paths_are_denied if {
	every path in [[""], ["v1"], ["v1", ""], ["v1", "data", ""], ["v1", "", "data"], ["v1", "datax"], ["V1", "data"], ["v1", "tenants"], ["v1", "tenants", ""], ["healthz"]] {
		decide("GET", path, ann).allowed == false
	}
}

test_nobody_is_asked_who_they_are if {
	decision := decide("GET", ["v1", "data"], nobody)
	decision.allowed == false
	decision.http_status == 401
	decision.reasons == ["not authenticated"]
}

test_another_role_is_not_enough if {
	every roles in [[], ["viewer"], ["analysts"], "analyst", null] {
		decision := decide("GET", ["v1", "data"], with_claims({"roles": roles}))
		decision.http_status == 403
		decision.reasons == ["role analyst is missing"]
	}
}

test_claims_of_nobody_count_for_nothing if {
	decide("GET", ["v1", "data"], object.union(ann, {"authenticated": false})).allowed == false
	decide("GET", ["v1", "data"], object.union(ann, {"authenticated": "true"})).allowed == false
}

test_a_caller_without_a_subject_is_denied if {
	decision := decide("GET", ["v1", "data"], object.union(ann, {"subject": ""}))
	decision.allowed == false
	decision.reason == "undecided"
}

test_another_region_is_denied if {
	decision := decide("GET", ["v1", "tenants", "acme"], with_claims({"region": "us"}))
	decision.reasons == ["data of another region"]
}

test_another_tenant_is_denied if {
	decision := decide("GET", ["v1", "tenants", "globex"], with_claims({"region": "us"}))
	decision.reasons == ["another tenant's data"]
}

test_an_unknown_tenant_is_denied if {
	decision := decide("GET", ["v1", "tenants", "initech"], with_claims({"tenant": "initech"}))
	decision.reasons == ["unknown tenant"]
}

test_missing_claims_are_denied if {
	decision := decide("GET", ["v1", "tenants", "acme"], {
		"authenticated": true,
		"subject": "ann",
		"claims": {"roles": ["analyst"]},
	})
	decision.reasons == ["another tenant's data", "data of another region"]
}

test_an_empty_input_is_denied if authz.allow.allowed == false with input as {}
