// Package daap is the domain of the Database-as-a-Service control plane: its nouns, their states, the rules, and the
// use cases of teams. It does not depend on a transport, a driver or an engine.
//
// A Database is a PostgreSQL database that a team owns. It runs as one CloudNativePG Cluster in its own Kubernetes
// namespace. A change of a database that takes time is an Operation. The row of an operation is its record for people,
// the lock that excludes a second change, and the outbox from which its workflow starts. An operation is a list of
// Steps.
//
// A caller is the bearer of an APIKey, which has a team and a role. Each use case begins by checking the Request
// against the table of accesses and gets a Grant, which determines the rows that it may read and change. The audit log
// records every action under its caller.
package daap
