package persistencetest

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	oldestMajor  = 15
	startTimeout = time.Minute
	startPoll    = 20 * time.Millisecond
)

// supervise runs PostgreSQL until its standard input ends, which it does when the test process does, however
// that comes about; then it leaves nothing behind.
const supervise = `
"$0" -D "$1/data" -k "$1" -c listen_addresses= -c max_connections=200 \
     -c fsync=off -c synchronous_commit=off -c full_page_writes=off &
server=$!
read -r _
kill -QUIT $server
wait $server
rm -rf "$1"
`

var errMissing = fmt.Errorf("these tests need PostgreSQL %d or newer and found none in /usr/lib/postgresql or "+
	"PATH; install it (Debian, Ubuntu: apt-get install postgresql), or let DAAP_TEST_POSTGRES_URL lead to a "+
	"running one", oldestMajor)

// start starts a server for this process and returns its URL. It listens on a socket in a directory that
// only its own user and root may enter, and on nothing else.
func start(ctx context.Context) (string, error) {
	bin, err := findPostgres(ctx)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "daap-postgres-")
	if err != nil {
		return "", fmt.Errorf("make a directory for PostgreSQL: %w", err)
	}
	attr := &syscall.SysProcAttr{Setpgid: true} // Ctrl-C ends the tests, and only then the server
	if attr.Credential, err = unprivileged(dir); err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	initdb := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "-D", filepath.Join(dir, "data"),
		"-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	initdb.Dir, initdb.SysProcAttr = dir, attr
	if out, err := initdb.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("initdb: %w: %s", err, out), os.RemoveAll(dir))
	}
	logFile, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return "", errors.Join(fmt.Errorf("make a log for PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	defer func() { _ = logFile.Close() }()

	//nolint:noctx // it must outlive ctx: it ends with the process
	server := exec.Command("/bin/sh", "-c", supervise, filepath.Join(bin, "postgres"), dir)
	server.Dir, server.SysProcAttr = "/", attr
	server.Stdout, server.Stderr = logFile, logFile
	if _, err = server.StdinPipe(); err != nil { // never closed by hand: the end of the process closes it
		return "", errors.Join(fmt.Errorf("make a pipe for PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	if err := server.Start(); err != nil {
		return "", errors.Join(fmt.Errorf("start PostgreSQL: %w", err), os.RemoveAll(dir))
	}
	running.server = server
	return untilUp(ctx, dir)
}

// running keeps the pipe to the server from being collected, which would close it.
var running struct{ server *exec.Cmd }

func untilUp(ctx context.Context, dir string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	server := "postgres://postgres@/postgres?" + url.Values{"host": {dir}}.Encode()
	for {
		conn, err := pgx.Connect(ctx, server)
		if err == nil {
			return server, conn.Close(ctx)
		}
		select {
		case <-time.After(startPoll):
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log")) // the error at hand says more
			return "", fmt.Errorf("PostgreSQL does not come up: %w: %s", err, log)
		}
	}
}

// findPostgres returns the directory of the programs of the newest PostgreSQL.
func findPostgres(ctx context.Context) (string, error) {
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin") // the pattern is well formed
	slices.SortFunc(dirs, func(a, b string) int { return majorIn(b) - majorIn(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, dir := range dirs {
		out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
		var major int
		if err != nil {
			continue
		}
		if _, err := fmt.Sscanf(string(out), "postgres (PostgreSQL) %d", &major); err == nil && major >= oldestMajor {
			return dir, nil
		}
	}
	return "", errMissing
}

// majorIn returns the version in a path such as /usr/lib/postgresql/17/bin.
func majorIn(dir string) int {
	major, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir))) // other names come last
	return major
}

// unprivileged returns the user who runs PostgreSQL, and gives dir to that user; nil for the user at hand.
// PostgreSQL refuses to run as root.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	account, err := user.Lookup("postgres")
	if err != nil {
		account, err = user.Lookup("nobody")
	}
	if err != nil {
		return nil, fmt.Errorf("find a user to run PostgreSQL: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the id of user %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("read the group of user %s: %w", account.Username, err)
	}
	if err := os.Chown(dir, int(uid), int(gid)); err != nil {
		return nil, fmt.Errorf("give the directory to user %s: %w", account.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
