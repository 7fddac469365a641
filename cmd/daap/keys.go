package main

import (
	"context"
	"fmt"
	"os/user"
	"time"

	"github.com/spf13/cobra"

	"github.com/daap-dev/daap"
	"github.com/daap-dev/daap/api/auth"
	"github.com/daap-dev/daap/cmd/internal/config"
)

func keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "Create the first API key",
		Long: `Creates API keys with direct access to DAAP's PostgreSQL: the first key, or a new one if all are lost.
Use the API to create, list, rotate and revoke all other keys.`,
	}
	cmd.AddCommand(createKeyCommand())
	return cmd
}

func createKeyCommand() *cobra.Command {
	var spec daap.APIKeySpec
	var expires time.Duration
	cmd := &cobra.Command{
		Use:   "create --role platform-team --team platform",
		Short: "Create an API key and print it once",
		Long: `Creates an API key in DAAP's PostgreSQL and prints it on a line of its own. The key cannot be shown again: only
a hash of it is stored. Requires DAAP_DATABASE_URL, and DAAP_ARGON2_… as configured for the API.`,
		Example: `  daap keys create --role platform-team --team platform --name alice > alice.key`,
		Args:    noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := newService("keys")
			if err != nil {
				return err
			}
			defer s.close()
			if expires != 0 {
				at := time.Now().Add(expires)
				spec.ExpiresAt = &at
			}
			issued, err := createKey(cmd.Context(), s, spec)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "Key %s of team %s, role %s. It is shown only once:\n",
				issued.Name, issued.Team, issued.Role)
			fmt.Fprintln(cmd.OutOrStdout(), issued.Credential.Reveal())
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar((*string)(&spec.Role), "role", "", "platform-team or product-team (required)")
	flags.StringVar(&spec.Team, "team", "", "the team that owns the key (required)")
	flags.StringVar(&spec.Name, "name", "first", "the key's name, for people")
	flags.DurationVar(&expires, "expires", 0, "lifetime of the key, such as 720h; 0 means that it does not expire")
	return cmd
}

// createKey creates a key without a caller: access to PostgreSQL is above all keys.
func createKey(ctx context.Context, s service, spec daap.APIKeySpec) (daap.IssuedKey, error) {
	store, pool, err := s.store(ctx)
	if err != nil {
		return daap.IssuedKey{}, err
	}
	defer pool.Close()
	hasher, err := s.hasher()
	if err != nil {
		return daap.IssuedKey{}, err
	}
	by := daap.Request{Caller: daap.Caller{Team: "console", KeyName: account(), Role: daap.RolePlatformTeam}}
	issued, err := daap.NewAPIKeys(store, hasher).Create(ctx, by, spec)
	if e := daap.AsError(err); e != nil && e.Code == daap.CodeValidationFailed {
		return issued, &usageError{fmt.Errorf("%s%s", e.Message, details(e))}
	}
	return issued, err
}

// account names the operating system's user who runs this, for the audit log.
func account() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "unknown"
}

// details are the fields at fault, where the message does not name the only one.
func details(e *daap.Error) string {
	var all string
	for _, d := range e.Details {
		if len(e.Details) > 1 {
			all += fmt.Sprintf("\n  --%s %s", d.Field, d.Message)
		}
	}
	return all
}

// hasher returns what hashes the secrets of keys, as the settings say.
func (s service) hasher() (*auth.Hasher, error) {
	hasher, err := auth.NewHasher(auth.Params(s.config.Argon2))
	if err != nil {
		return nil, &config.Error{Variable: "DAAP_ARGON2_*", Problem: err.Error()}
	}
	return hasher, nil
}
