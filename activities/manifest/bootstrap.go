package manifest

import (
	"time"

	cnpgv1 "github.com/cloudnative-pg/api/pkg/api/v1"

	"github.com/daap-dev/daap"
)

// bootstrap creates the first instance: empty, or from the source's archive. CNPG reads it only once.
func bootstrap(db daap.Database) *cnpgv1.BootstrapConfiguration {
	credentials := &cnpgv1.LocalObjectReference{Name: daap.CredentialsSecret}
	if db.Source == nil {
		return &cnpgv1.BootstrapConfiguration{InitDB: &cnpgv1.BootstrapInitDB{
			Database:    daap.PostgresDatabase,
			Owner:       daap.PostgresUser,
			Secret:      credentials,
			PostInitSQL: workerRoleSQL(db),
		}}
	}
	recovery := &cnpgv1.BootstrapRecovery{
		Source: SourceStore, Database: daap.PostgresDatabase, Owner: daap.PostgresUser, Secret: credentials,
	}
	if db.Source.Target != nil {
		recovery.RecoveryTarget = &cnpgv1.RecoveryTarget{TargetTime: db.Source.Target.UTC().Format(time.RFC3339Nano)}
	}
	return &cnpgv1.BootstrapConfiguration{Recovery: recovery}
}

// recoveredFrom is the location of the source's archive; nil for a database that is not restored.
func recoveredFrom(db daap.Database) []cnpgv1.ExternalCluster {
	if db.Source == nil {
		return nil
	}
	return []cnpgv1.ExternalCluster{{Name: SourceStore, PluginConfiguration: &cnpgv1.PluginConfiguration{
		Name:       BarmanPlugin,
		Parameters: map[string]string{"barmanObjectName": SourceStore, "serverName": db.Source.ServerName},
	}}}
}
