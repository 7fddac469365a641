package api_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/daap-dev/daap"
)

// FuzzCreateDatabaseBody holds for any body: the service does not fail, and answers as the contract says.
func FuzzCreateDatabaseBody(f *testing.F) {
	for _, body := range []string{
		`{"name":"orders","owner_team":"shop","tier":"small","description":"é\n","labels":{"env":"prod"}}`,
		`{"name":"ordérs","owner_team":null,"description":5,"labels":{"":{}},"x":[1e999]}`,
		`{"name":"a","name":"b","labels":{"a":"","a":""}}`, `{"labels":null}`, `[]`, `""`, `1e999`, `{} {}`, ``, ` `, `{"a`,
		"{\"name\":\"\xff\",\"owner_team\":\"\\ud800\"}", `{"name":"\u0000"}`, `{"labels":` + labels(33) + `}`,
		strings.Repeat(`{"a":`, 50),
	} {
		f.Add([]byte(body))
	}
	store, handler := bare(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		store.t = t
		req := httptest.NewRequest(http.MethodPost, "/databases", bytes.NewReader(body))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-API-Key", platformKey)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, req)
		if err := keepsContract(req, w.Result(), w.Body.Bytes()); err != nil {
			t.Errorf("%q answered %d %s\nagainst the contract: %v", body, w.Code, w.Body, err)
		}
		switch w.Code {
		case http.StatusAccepted:
			all, err := store.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Page: everything})
			if err != nil || len(all) != 1 {
				t.Fatalf("%q was accepted, and there are %d databases (%v)", body, len(all), err)
			}
			store.succeed(*all[0].OperationID)
			all[0].Status = daap.DatabaseDeleted // its name is free for the next
			store.PutDatabase(all[0])
		case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusRequestEntityTooLarge:
			if all, err := store.Databases(t.Context(), daap.EveryTeam, daap.DatabaseFilter{Page: everything}); err != nil || len(all) != 0 {
				t.Errorf("%q was refused and is there", body)
			}
		default:
			t.Errorf("%q answered %d %s", body, w.Code, w.Body)
		}
	})
}
