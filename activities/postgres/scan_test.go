package postgres

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/daap-dev/daap/activities/diagnosis"
)

// table answers with rows of text.
func table(all ...[]string) func(peer, string) error {
	return func(p peer, _ string) error {
		described := &pgproto3.RowDescription{}
		var messages []pgproto3.BackendMessage
		for i, texts := range all {
			data := &pgproto3.DataRow{}
			for _, text := range texts {
				data.Values = append(data.Values, []byte(text))
				if i == 0 {
					described.Fields = append(described.Fields, pgproto3.FieldDescription{Name: []byte("a"), DataTypeOID: pgtype.TextOID, DataTypeSize: -1})
				}
			}
			messages = append(messages, data)
		}
		messages = append(append([]pgproto3.BackendMessage{described}, messages...),
			&pgproto3.CommandComplete{CommandTag: []byte("SELECT 1")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
		return p.say(messages...)
	}
}

func number(n int64) column { return column{pgtype.Int8OID, fmt.Sprint(n)} }

// answers are the results of a PostgreSQL by statement; for statements that are missing here, it answers like a healthy
// one with two databases.
type answers map[string]func(peer, string) error

func (a answers) say(p peer, sql string) error {
	well := answers{
		"pg_has_role": row(column{pgtype.BoolOID, "t"}),
		"SET ROLE": func(p peer, _ string) error {
			return p.say(&pgproto3.CommandComplete{CommandTag: []byte("SET")}, &pgproto3.ReadyForQuery{TxStatus: 'I'})
		},
		"pg_database_size": row(number(300 << 20)),
		"pg_ls_waldir":     row(number(64 << 20)),
		"max_connections":  row(number(100), number(3), number(3), number(7)),
		"datallowconn":     table([]string{"app"}, []string{"postgres"}),
		"pg_extension":     table([]string{"hstore", "1.8", "1.10"}, []string{"plpgsql", "1.0", ""}),
	}
	for _, asked := range []string{"pg_has_role", "SET ROLE", "pg_database_size", "pg_ls_waldir", "max_connections", "datallowconn", "pg_extension"} {
		if strings.Contains(sql, asked) {
			if answer, is := a[asked]; is {
				return answer(p, sql)
			}
			return well[asked](p, sql)
		}
	}
	return fails(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "42601", Message: "not expected: " + sql})(p, sql)
}

// lets is a PostgreSQL that rejects every connection with that state.
func lets(state string) func(peer) error {
	return authenticated(func(p peer) error {
		return p.say(&pgproto3.ErrorResponse{Severity: "FATAL", Code: state, Message: "no entry for " + evil})
	})
}

// many are that many rows of names.
func many(n int, more ...string) [][]string {
	var all [][]string
	for i := range n {
		all = append(all, append([]string{fmt.Sprintf("name-%04d", i)}, more...))
	}
	return all
}

func TestScanReturnsEverythingOrAReason(t *testing.T) { //nolint:paralleltest // each of its tests is
	ca := newAuthority(t)
	as := login{user: "daap", password: testPassword, ca: ca.pem()}
	const whole = "app/hstore 1.8 of 1.10, app/plpgsql 1.0 of , postgres/hstore 1.8 of 1.10, postgres/plpgsql 1.0 of "
	for name, tt := range map[string]struct {
		says answers
		// app is the behaviour of the database app; nil means like the others.
		app func(peer) error
		// reason is empty if everything is listed, used and wal are MiB, and list is the expected list.
		reason    string
		used, wal int64
		list      string
	}{
		"everything works":               {nil, nil, "", 364, 64, whole},
		"no monitoring role yet":         {answers{"pg_has_role": row(column{pgtype.BoolOID, "f"}), "pg_ls_waldir": fails(&pgproto3.ErrorResponse{Code: "42501"}), "SET ROLE": fails(&pgproto3.ErrorResponse{Code: "42501"})}, nil, "", 300, 0, whole},
		"the owner revoked connecting":   {nil, lets("42501"), "PermissionDenied", 364, 64, ""},
		"all connections are in use":     {nil, lets("53300"), "TooManyConnections", 364, 64, ""},
		"a database is dropped":          {nil, lets("3D000"), "", 364, 64, "postgres/hstore 1.8 of 1.10, postgres/plpgsql 1.0 of "},
		"a database rejects connections": {nil, lets("55000"), "ConnectFailed", 364, 64, ""},
		"one hangs up":                   {nil, func(p peer) error { return p.Close() }, "ConnectFailed", 364, 64, ""},
		"no extensions":                  {answers{"pg_extension": table()}, nil, "", 364, 64, ""},
		"a statement takes too long":     {answers{"pg_extension": fails(&pgproto3.ErrorResponse{Severity: "ERROR", Code: "57014"})}, nil, "TooSlow", 364, 64, ""},
		"a hundred databases":            {answers{"datallowconn": table(many(100)...), "pg_extension": table()}, nil, "", 364, 64, ""},
		"a database more":                {answers{"datallowconn": table(many(101)...)}, nil, "TooMuch", 364, 64, ""},
		"databases without end":          {answers{"datallowconn": table(many(102)...)}, nil, "ConnectFailed", 0, 0, ""},
		"a thousand extensions and one":  {answers{"datallowconn": table([]string{"app"}), "pg_extension": table(many(1001, "1", "2")...)}, nil, "TooMuch", 364, 64, ""},
		"extensions without end":         {answers{"pg_extension": table(many(1002, "1", "2")...)}, nil, "ConnectFailed", 364, 64, ""},
		"no name":                        {answers{"datallowconn": table([]string{""})}, nil, "ConnectFailed", 0, 0, ""},
		"a name with another parameter":  {answers{"datallowconn": table([]string{"app\x00user\x00postgres"})}, nil, "ConnectFailed", 0, 0, ""},
		"a name of 64 bytes":             {answers{"datallowconn": table([]string{strings.Repeat("é", 32)})}, nil, "ConnectFailed", 0, 0, ""},
		"less than no storage":           {answers{"pg_database_size": row(number(-1))}, nil, "ConnectFailed", 0, 0, ""},
		"more than any storage":          {answers{"pg_ls_waldir": row(number(1<<62 + 1))}, nil, "ConnectFailed", 0, 0, ""},
		"more than all connections":      {answers{"max_connections": row(number(100), number(3), number(3), number(101))}, nil, "ConnectFailed", 0, 0, ""},
		"an evil extension": {
			answers{"datallowconn": table([]string{"app"}), "pg_extension": table([]string{evil[:20] + strings.Repeat("é", 500), strings.Repeat("é", 500), "1\x1b[31m"})},
			nil, "", 364, 64,
			"app/" + diagnosis.Safe(evil[:20]) + strings.Repeat("é", (63-len(diagnosis.Safe(evil[:20])))/2) + " " + strings.Repeat("é", 40) + " of 1[31m",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			well := listen(t, encrypted(ca.server(t, testHost), asked(tt.says.say)))
			app := well
			if tt.app != nil {
				app = listen(t, encrypted(ca.server(t, testHost), tt.app))
			}
			ask := func(ctx context.Context, database string, run func(context.Context, *pgx.Conn) error) error {
				as, server := as, well
				if as.database = database; database == "app" {
					server = app
				}
				return as.session(ctx, route{host: testHost, address: server.address}, run)
			}
			at := time.Now()
			scan, extensions, err := scanAll(t.Context(), ask, at)
			var list []string
			for _, e := range extensions {
				list = append(list, fmt.Sprintf("%s/%s %s of %s", e.PostgresDatabase, e.Name, e.Version, e.AvailableVersion))
			}
			if got := strings.Join(list, ", "); got != tt.list || scan.UsedBytes != tt.used<<20 || scan.WALBytes != tt.wal<<20 {
				t.Errorf("the scan found %q with %d and %d bytes, want\n%q with %d and %d MiB", got, scan.UsedBytes, scan.WALBytes, tt.list, tt.used, tt.wal)
			}
			if tt.used > 0 && (scan.ScannedAt == nil || scan.Connections != 7 || scan.MaxConnections != 94) || tt.used == 0 && scan.ScannedAt != nil {
				t.Errorf("the scan is %+v, want 7 of 94 connections if the storage is known", scan)
			}
			reason, message := "", ""
			if err != nil {
				reason, message = WhyNotScanned(err)
				showsNothing(t, name, err)
			}
			if reason != tt.reason || (scan.ListedAt == nil) != (tt.reason != "") || len([]rune(message)) > diagnosis.MaxSafe ||
				strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
				t.Errorf("the reason is %q, %q, listed at %v; want %q", reason, message, scan.ListedAt, tt.reason)
			}
		})
	}
}
