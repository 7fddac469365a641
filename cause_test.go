package daap_test

import (
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/daap-dev/daap"
)

func TestEveryCauseIsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("docs/operators/causes.md")
	if err != nil {
		t.Fatal(err)
	}
	var explained []daap.CauseCode
	for _, row := range regexp.MustCompile(`(?m)^\| \[([A-Z0-9_]+)\]\(causes-`).FindAllStringSubmatch(string(page), -1) {
		explained = append(explained, daap.CauseCode(row[1]))
	}
	if codes := codesOfCauses(); !slices.Equal(explained, codes) {
		t.Errorf("docs/operators/causes.md explains\n%v, want in this order\n%v", explained, codes)
	}
}

func TestEveryCauseHasAUniqueCodeAMeaningAndARemedy(t *testing.T) {
	t.Parallel()
	codes := codesOfCauses()
	slices.Sort(codes)
	if unique := slices.Compact(slices.Clone(codes)); len(unique) != len(codes) {
		t.Errorf("codes = %v, want each once", codes)
	}
	for _, kind := range daap.Causes() {
		if !regexp.MustCompile(`^[A-Z][A-Z0-9_]*$`).MatchString(string(kind.Code)) || kind.Meaning == "" || kind.Remedy == "" {
			t.Errorf("cause %+v lacks something", kind)
		}
		if cause := daap.NewCause(kind.Code, "%d is too few", 1); cause.Message != "1 is too few" || cause.Remedy != kind.Remedy {
			t.Errorf("NewCause(%s) = %+v, want the message and the remedy", kind.Code, cause)
		}
	}
}

func codesOfCauses() []daap.CauseCode {
	var codes []daap.CauseCode
	for _, kind := range daap.Causes() {
		codes = append(codes, kind.Code)
	}
	return codes
}
