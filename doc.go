// Package daap is the domain of the Database-as-a-Service control plane: its nouns, the states they may
// be in, the rules they keep and the use cases teams ask for. It knows no transport, driver or engine.
//
// A Database is a PostgreSQL database that a team owns. It runs as one CloudNativePG Cluster in a
// Kubernetes namespace of its own. A change of a database that takes time is an Operation: a row that is
// at once what people look at, the lock that keeps a second change out, and the outbox from which the
// workflow that carries it out is started. An operation is a list of Steps.
//
// Who asks is the bearer of an APIKey, which has a team and a role. Each use case begins by asking the table of
// accesses whether the Request may, and gets a Grant: whose rows it may see and change. What is done is in the
// audit log, under the one who asked for it.
package daap
