import { ACTIONS, type Kinds, RESOURCES, ROLES, USERS } from './kind.ts';
import type { Random } from './random.ts';

/* Policies about who somebody is: roles, groups, tenants, owners, delegation. */

const rolesOf = (random: Random): { [user: string]: string[] } =>
  Object.fromEntries(USERS.map((user) => [user, random.some(ROLES, 1 + random.int(3))]));

const grantsOf = (random: Random): { [role: string]: { action: string; resource: string }[] } =>
  Object.fromEntries(
    ROLES.map((role) => [
      role,
      random
        .some(ACTIONS, 1 + random.int(4))
        .flatMap((action) => random.some(RESOURCES, 2).map((resource) => ({ action, resource }))),
    ]),
  );

const requests = (random: Random): unknown[] =>
  Array.from({ length: 4 }, () => ({
    user: random.pick(USERS),
    action: random.pick(ACTIONS),
    resource: random.pick(RESOURCES),
  }));

const treeOf = (random: Random): { [role: string]: string[] } =>
  Object.fromEntries(ROLES.map((role, index) => [role, random.some(ROLES.slice(index + 1), random.int(3))]));

export const roleKinds: Kinds = {
  rbac_flat: (random) => ({
    data: { roles: rolesOf(random), grants: grantsOf(random) },
    inputs: requests(random),
    rego: `
default allow := false

allow if {
	some role in D.roles[input.user]
	some grant in D.grants[role]
	grant.action == input.action
	${random.pick(['grant.resource == input.resource', 'grant == {"action": input.action, "resource": input.resource}'])}
}

${random.pick(['permissions', 'may'])} contains ${random.pick(['grant', '[grant.action, grant.resource]', 'grant.action'])} if {
	some role in D.roles[input.user]
	some grant in D.grants[role]
}

who[role] contains user if {
	some user, roles in D.roles
	some role in roles
}`,
  }),

  rbac_inherited: (random) => ({
    data: { roles: rolesOf(random), grants: grantsOf(random), tree: treeOf(random) },
    inputs: requests(random),
    rego: `
effective := graph.reachable(D.tree, ${random.pick(['D.roles[input.user]', '{role | some role in D.roles[input.user]}'])})

paths := graph.reachable_paths(D.tree, ${random.pick(['["admin"]', 'D.roles[input.user]', '{"editor"}'])})

allow if {
	some role in effective
	{"action": input.action, "resource": input.resource} in D.grants[role]
} else := ${random.pick(['false', '"none"', 'null'])}

by_role[role] := count(D.grants[role]) if some role in effective

depth := max([count(path) | some path in paths])`,
  }),

  rbac_two_levels: (random) => ({
    data: { roles: rolesOf(random), tree: treeOf(random) },
    inputs: requests(random),
    rego: `
direct contains role if some role in D.roles[input.user]

second contains role if {
	some parent in direct
	some role in D.tree[parent]
}

all := direct ${random.pick(['|', '|'])} second

only_inherited := second - direct

both := second & direct

is_${random.pick(['admin', 'auditor'])} if "${random.pick(ROLES)}" in all

ranked := [sprintf("%02d %s", [i, role]) | some i, role in ${random.pick(['sort(all)', 'D.roles[input.user]'])}]`,
  }),

  separation_of_duties: (random) => {
    const pairs = Array.from({ length: 3 }, () => random.some(ROLES, 2));
    return {
      data: { roles: rolesOf(random), conflicts: pairs },
      inputs: requests(random),
      rego: `
held := {role | some role in D.roles[input.user]}

violation contains pair if {
	some list in D.conflicts
	pair := {role | some role in list}
	${random.pick(['pair & held == pair', 'count(pair - held) == 0', 'every role in pair { role in held }'])}
}

violating[user] := conflicts if {
	some user, roles in D.roles
	conflicts := [list | some list in D.conflicts; every role in list { role in roles }]
	conflicts != []
}

allow if count(violation) == 0

reasons := concat("; ", sort([concat("+", sort(pair)) | some pair in violation]))`,
    };
  },

  deny_overrides: (random) => ({
    data: { roles: rolesOf(random), suspended: random.some(USERS, 2), frozen: random.some(RESOURCES, 2) },
    inputs: requests(random),
    rego: `
import rego.v1

default decision := {"allow": false, "why": "no rule"}

decision := {"allow": false, "why": reason} if {
	count(deny) > 0
	reason := ${random.pick(['min(deny)', 'max(deny)', 'concat(", ", sort(deny))'])}
} else := {"allow": true, "why": sprintf("%s of %v", [input.user, D.roles[input.user]])} if {
	input.user in object.keys(D.roles)
}

deny contains "suspended" if input.user in D.suspended

deny contains sprintf("%s is frozen", [input.resource]) if input.resource in D.frozen

deny contains msg if {
	not ${random.pick(['"admin" in D.roles[input.user]', '"viewer" in D.roles[input.user]'])}
	input.action == ${random.pick(['"delete"', '"export"', '"write"'])}
	msg := sprintf("%v may not %v", [object.get(input, "user", null), input.action])
}`,
  }),

  tenants: (random) => ({
    data: {
      tenants: {
        acme: { plan: random.pick(['free', 'pro']), members: random.some(USERS, 3), parent: null },
        'acme/eu': { plan: 'pro', members: random.some(USERS, 2), parent: 'acme' },
        globex: { plan: 'free', members: random.some(USERS, 3), parent: random.pick([null, 'acme', 7]) },
      },
      limits: { free: { seats: 2 + random.int(2), features: ['list'] }, pro: { seats: 50, features: [...ACTIONS] } },
    },
    inputs: ['acme', 'acme/eu', 'globex', 'nobody'].map((tenant) => ({
      tenant,
      user: random.pick(USERS),
      action: random.pick(ACTIONS),
    })),
    rego: `
tenant := D.tenants[input.tenant]

plan := D.limits[tenant.plan]

default allow := false

allow if {
	input.user in tenant.members
	input.action in plan.features
	not full
}

allow if {
	parent := D.tenants[tenant.parent]
	input.user in parent.members
	${random.pick(['input.action == "read"', 'input.action != "delete"', 'input.action in {"list", "read"}'])}
}

full if count(tenant.members) ${random.pick(['>', '>='])} plan.seats

orphans contains name if {
	some name, t in D.tenants
	not ${random.pick(['D.tenants[t.parent]', 'is_string(t.parent)'])}
}

seats := {name: left |
	some name, t in D.tenants
	left := D.limits[t.plan].seats - count(t.members)
}

visible[name] := ${random.pick(['object.remove(t, ["members"])', 'object.filter(t, {"plan", "parent"})', 'json.filter(t, ["plan"])'])} if {
	some name, t in D.tenants
	startswith(name, input.tenant)
}`,
  }),

  groups_every: (random) => ({
    data: { groups: { ops: random.some(USERS, 3), dev: random.some(USERS, 4), none: [] } },
    inputs: [
      { approvers: random.some(USERS, 2), need: 2 },
      { approvers: [], need: 0 },
      { approvers: [...USERS], need: random.int(5) },
      { approvers: { a: 'ann', b: 'bob' }, need: 1 },
    ],
    rego: `
all_in[group] if {
	some group, members in D.groups
	every approver in input.approvers { approver in members }
}

none_in[group] if {
	some group, members in D.groups
	every ${random.pick(['approver', '_, approver'])} in input.approvers {
		${random.pick(['not approver in members', 'every member in members { member != approver }'])}
	}
}

every_index if every i, approver in input.approvers { ${random.pick(['i >= 0; approver', 'is_number(i); is_string(approver)', 'i < count(approver)'])} }

enough if count(input.approvers) >= input.need

pairs := sort([[a, b] | some a in input.approvers; some b in input.approvers; a ${random.pick(['<', '!=', '>='])} b])`,
  }),

  delegation: (random) => ({
    data: {
      trusts: Object.fromEntries(USERS.map((user) => [user, random.some(USERS, random.int(4))])),
    },
    inputs: [
      { from: 'ann', to: 'eve@example.com', path: random.some(USERS, 3) },
      { from: 'bob', to: 'bob', path: ['bob'] },
      { from: '王', to: 'ann', path: [] },
    ],
    rego: `
reached := graph.reachable(D.trusts, {input.from})

allow if input.to in reached

chain_holds if {
	count(input.path) > 1
	every i in numbers.range(0, count(input.path) - 2) {
		input.path[i + 1] in D.trusts[input.path[i]]
	}
}

hops := min({n | some path in graph.reachable_paths(D.trusts, {input.from}); path[_] == input.to; n := count(path) - 1})

mutual contains {a, b} if {
	some a, trusted in D.trusts
	some b in trusted
	a in D.trusts[b]
	${random.pick(['a != b', 'a < b', 'true'])}
}

lonely := sort([user | some user, trusted in D.trusts; ${random.pick(['count(trusted) == 0', 'trusted == []', 'not trusted[0]'])}])`,
  }),

  sharing: (random) => ({
    data: {
      files: Object.fromEntries(
        ['a.txt', 'b/c.md', 'd'].map((file) => [
          file,
          {
            owner: random.pick(USERS),
            shared: Object.fromEntries(random.some(USERS, 2).map((user) => [user, 'read'])),
          },
        ]),
      ),
    },
    inputs: [
      { user: 'ann', file: 'a.txt', action: 'read' },
      { user: 'bob', file: 'b/c.md', action: 'write' },
      { user: '王', file: 'd', action: random.pick(ACTIONS) },
      { user: 'eve@example.com', file: 'zz', action: 'read' },
    ],
    rego: `
file := D.files[input.file]

allow if file.owner == input.user

allow if file.shared[input.user] == input.action

access.owner contains name if {
	some name
	D.files[name].owner == input.user
}

access.shared[name] := how if {
	some name
	how := D.files[name].shared[input.user]
}

owners := object.union_n([{f.owner: {name: ${random.pick(['true', 'f.shared', 'count(f.shared)'])}}} | some name, f in D.files])

reason := "owner" if file.owner == input.user
else := concat(" ", ["shared:", file.shared[input.user]]) if file.shared[input.user]
else := "unknown file" if not D.files[input.file]
else := ${random.pick(['"private"', '["private", input.file]', '{"private": input.file}'])}`,
  }),

  explained: (random) => ({
    wrapped: true,
    data: { roles: rolesOf(random), needs: { read: [], write: ['editor'], delete: ['admin', 'auditor'] } },
    inputs: [
      { user: 'ann', action: 'delete', mfa: true, risk: random.int(100) },
      { user: 'bob', action: 'write', mfa: false, risk: 12.5 },
      { user: 'cyd', action: 'read', mfa: true, risk: 101 },
      { user: 'nobody', action: 'fly', mfa: null, risk: '3' },
    ],
    rego: `
default allow := false

allow if count(reasons) == 0

reasons contains {"code": 1, "text": "unknown user"} if not D.roles[input.user]

reasons contains {"code": 2, "text": sprintf("lacks %s", [role])} if {
	some role in D.needs[input.action]
	not role in object.get(D.roles, input.user, [])
}

reasons contains {"code": 3, "text": "no second factor"} if ${random.pick(['not input.mfa', 'input.mfa != true', 'not input.mfa == true'])}

reasons contains {"code": 4, "text": sprintf("risk %v > %d", [input.risk, ${random.int(50)}])} if input.risk > ${random.int(60)}

codes := sort([reason.code | some reason in reasons])

first := reason if {
	some reason in reasons
	reason.code == min(codes)
	not other_first(reason)
}

other_first(reason) if {
	some other in reasons
	other.code == reason.code
	other.text < reason.text
}

texts := [r.text | some r in sort(reasons)]

grouped[code] contains text if some {"code": code, "text": text} in reasons`,
  }),
};
