package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/activities/diagnosis"
)

// The limits of one database's result; a larger one is an error.
const (
	maxPostgresDatabases = 100
	maxExtensions        = 1000
	maxStorage           = 1 << 60 // bytes
)

// postgresDatabases returns the names of the databases that accept connections; one more than the limit if there are
// more.
func postgresDatabases(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, _ := conn.Query(ctx, `
		SELECT d.datname::pg_catalog.text FROM pg_catalog.pg_database AS d
		WHERE  d.datallowconn AND NOT d.datistemplate ORDER BY 1 LIMIT $1`,
		maxPostgresDatabases+1) // ForEachRow returns the error
	var names []string
	var name string
	_, err := pgx.ForEachRow(rows, []any{&name}, func() error {
		if name == "" || len(name) > daap.MaxPostgresName || !utf8.ValidString(name) || strings.ContainsRune(name, 0) {
			return errors.New("invalid database name")
		}
		if len(names) > maxPostgresDatabases {
			return errTooMuch
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list the PostgreSQL databases: %w", err)
	}
	return names, nil
}

// extensionsOf returns the extensions of the PostgreSQL database that conn is connected to.
func extensionsOf(ctx context.Context, conn *pgx.Conn, database string) ([]daap.Extension, error) {
	rows, _ := conn.Query(ctx, `
		SELECT e.extname::pg_catalog.text, pg_catalog.left(e.extversion, $1),
		       COALESCE(pg_catalog.left(a.default_version, $1), '')
		FROM   pg_catalog.pg_extension AS e
		LEFT   JOIN pg_catalog.pg_available_extensions AS a ON a.name OPERATOR(pg_catalog.=) e.extname
		ORDER  BY 1 LIMIT $2`, daap.MaxExtensionVersion, maxExtensions+1) // ForEachRow returns the error
	var all []daap.Extension
	var name, version, available string
	_, err := pgx.ForEachRow(rows, []any{&name, &version, &available}, func() error {
		if len(all) > maxExtensions {
			return errTooMuch
		}
		all = append(all, daap.Extension{
			PostgresDatabase: short(database, daap.MaxPostgresName), Name: short(name, daap.MaxPostgresName),
			Version:          short(version, daap.MaxExtensionVersion),
			AvailableVersion: short(available, daap.MaxExtensionVersion),
		})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read extensions: %w", err)
	}
	return all, nil
}

// short returns the part of another program's text that may be shown, of at most that many bytes.
func short(text string, most int) string {
	text = diagnosis.Safe(text)
	if len(text) <= most {
		return text
	}
	for !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
