package api_test

import (
	"maps"
	"slices"
	"testing"

	"github.com/daap-dev/daap"
)

func TestContractHasEachTierField(t *testing.T) {
	t.Parallel()
	doc, _ := contract()
	for schema, others := range map[string][]string{
		"CreateTierRequest": {"name", "description"},
		"UpdateTierRequest": {"description"},
		"Tier":              {"id", "name", "description", "next_backup_at", "guarantees", "created_at", "updated_at"},
	} {
		of := doc.Components.Schemas[schema].Value
		got := slices.Sorted(maps.Keys(of.Properties))
		want := append(daap.TierFields(), others...)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("schema %s has %v, want %v", schema, got, want)
		}
		if required := slices.Sorted(slices.Values(of.Required)); schema == "Tier" && !slices.Equal(required, want) {
			t.Errorf("schema Tier requires %v, want %v", required, want)
		}
	}
}
