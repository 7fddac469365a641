package local

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/daap-dev/daap/api/oas"
)

// Psql is a psql that connects to one database, as its team would.
type Psql struct {
	// Host is the name to connect to and to verify; Address is where it is, as the machine's DNS does not know it.
	Host, Address string
	Port          int
	Database      string
	User          string
	SSLMode       string
	// CAFile is what sslrootcert is set to.
	CAFile   string
	password string
}

// Psql returns a psql for one of the connection's endpoints. The CA certificate is written into dir.
func (s *Stack) Psql(ctx context.Context, conn oas.Connection, endpoint oas.Endpoint, dir string) (Psql, error) {
	password, err := s.password(ctx, conn.Secret)
	if err != nil {
		return Psql{}, err
	}
	address, err := s.address(ctx, endpoint.Host)
	if err != nil {
		return Psql{}, err
	}
	ca := filepath.Join(dir, "ca.crt")
	if err := os.WriteFile(ca, []byte(conn.CaCertificate), 0o600); err != nil {
		return Psql{}, fmt.Errorf("write the CA certificate: %w", err)
	}
	return Psql{
		Host: endpoint.Host, Address: address, Port: endpoint.Port,
		Database: conn.Database, User: conn.User, SSLMode: string(conn.Sslmode), CAFile: ca, password: password,
	}, nil
}

// As is the connection of somebody else.
func (p Psql) As(user, password string) Psql {
	p.User, p.password = user, password
	return p
}

// Conninfo is the connection as libpq takes it, without the password.
func (p Psql) Conninfo() string {
	return fmt.Sprintf("host=%s hostaddr=%s port=%s dbname=%s user=%s sslmode=%s sslrootcert=%s connect_timeout=10",
		p.Host, p.Address, strconv.Itoa(p.Port), p.Database, p.User, p.SSLMode, p.CAFile)
}

// Connect connects as another client does, pgx; without TLS where config is nil. The CA and the host to verify are the
// config's.
func (p Psql) Connect(ctx context.Context, config *tls.Config) (*pgx.Conn, error) {
	to, err := pgx.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("parse an empty configuration: %w", err)
	}
	to.Host, to.Port = p.Address, uint16(p.Port)
	to.Database, to.User, to.Password = p.Database, p.User, p.password
	to.TLSConfig, to.Fallbacks = config, nil
	to.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, to)
}

// Run runs SQL in a session of its own and returns what psql prints, rows as bare values.
func (p Psql) Run(ctx context.Context, sql string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--tuples-only", "--no-align",
		"--command="+sql, p.Conninfo())
	return p.output(cmd)
}

// Session runs several statements and returns the transcript as a person would see it.
func (p Psql) Session(ctx context.Context, statements ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "psql", "--no-psqlrc", "--set=ON_ERROR_STOP=1", "--echo-queries",
		p.Conninfo())
	cmd.Stdin = strings.NewReader(strings.Join(statements, "\n") + "\n")
	return p.output(cmd)
}

func (p Psql) output(cmd *exec.Cmd) (string, error) {
	// In the environment, as arguments are everyone's to read.
	cmd.Env = append(os.Environ(), "PGPASSWORD="+p.password)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("psql: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func (s *Stack) password(ctx context.Context, ref oas.SecretReference) (string, error) {
	var secret corev1.Secret
	key := client.ObjectKey{Namespace: ref.Namespace, Name: ref.Name}
	if err := s.Kubernetes.Get(ctx, key, &secret); err != nil {
		return "", fmt.Errorf("get secret %s: %w", key, err)
	}
	return string(secret.Data[ref.PasswordKey]), nil
}

// address asks Kubernetes where a Service's host is: service.namespace.svc.
func (s *Stack) address(ctx context.Context, host string) (string, error) {
	name, rest, _ := strings.Cut(host, ".")
	namespace, _, _ := strings.Cut(rest, ".")
	var service corev1.Service
	key := client.ObjectKey{Namespace: namespace, Name: name}
	if err := s.Kubernetes.Get(ctx, key, &service); err != nil {
		return "", fmt.Errorf("get service %s: %w", key, err)
	}
	return service.Spec.ClusterIP, nil
}
