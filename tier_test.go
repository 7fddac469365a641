package daap_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/daap-dev/daap"
)

func TestGuaranteesDescribeATierInWords(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		profile daap.Profile
		want    []string
	}{
		"one server, gone for good": {
			daap.Profile{Instances: 1, PoolMode: daap.PoolTransaction, MaxConnections: 50, DestructionStrategy: daap.StrategyHardDelete},
			[]string{"One server", "Up to 50 active connections", "No backups", "removed permanently"},
		},
		"two, one of them confirms": {
			daap.Profile{
				Instances: 2, HAReplicas: 1, PoolMode: daap.PoolSession, MaxConnections: 100,
				DestructionStrategy: daap.StrategyArchive, Backups: daap.Backups{BackupEnabled: true, BackupRetentionDays: 14},
			},
			[]string{"2 servers", "no committed change is lost", "one for each client", "any second of the last 14 days", "archived"},
		},
		"two, none confirms": {
			daap.Profile{Instances: 2, DestructionStrategy: daap.StrategyFreeze},
			[]string{"the most recent changes may be lost", "frozen"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tt.profile.StorageSize = resource.MustParse("10Gi")
			g := tt.profile.Guarantees()
			all := strings.Join([]string{g.HighAvailability, g.Connections, g.Storage, g.Backups, g.Deletion}, "\n")
			for _, want := range append(tt.want, "10Gi") {
				if !strings.Contains(all, want) {
					t.Errorf("the guarantees do not say %q:\n%s", want, all)
				}
			}
		})
	}
}

func TestCostCountsEachInstance(t *testing.T) {
	t.Parallel()
	profile := daap.Profile{
		Instances: 3, CPU: resource.MustParse("1500m"), Memory: resource.MustParse("2Gi"), StorageSize: resource.MustParse("10Gi"),
	}
	cost := profile.Cost()
	if cost.CPUCores() != 4.5 || cost.MemoryGiB() != 6 || cost.StorageGiB() != 10 || cost.Databases != 1 {
		t.Errorf("Cost() = %+v, want 4.5 cores, 6 GiB, 10 GiB", cost)
	}
}

func TestVersionsAreInOrder(t *testing.T) {
	t.Parallel()
	got := strings.Join(daap.Catalog{"18": "", "9": "", "17": "", "16": ""}.Versions(), " ")
	if got != "9 16 17 18" {
		t.Errorf("Versions() = %s", got)
	}
}
