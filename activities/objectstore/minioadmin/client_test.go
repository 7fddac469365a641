package minioadmin

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
)

// server is a fake MinIO that records one request and sends one response.
type server struct {
	status  int
	answer  string
	request *http.Request
	body    []byte
}

const (
	adminKey    = "admin"
	adminSecret = "a-secret-of-the-admin"
)

// client returns a client of the fake.
func (s *server) client(t *testing.T) *Client {
	t.Helper()
	fake := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.request = r
		s.body, _ = io.ReadAll(r.Body)
		if s.status != 0 {
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(s.status)
		}
		_, _ = io.WriteString(w, s.answer)
	}))
	t.Cleanup(fake.Close)
	endpoint, err := url.Parse(fake.URL)
	if err != nil {
		t.Fatal(err)
	}
	return New(endpoint, adminKey, adminSecret, http.DefaultTransport)
}

func TestEachCallReachesItsFunction(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		call func(*Client) error
		want string
		body string
	}{
		"put user": {
			func(c *Client) error { return c.PutUser(t.Context(), "one", "secret-of-one") },
			"PUT /minio/admin/v3/add-user?accessKey=one", "",
		},
		"delete user": {
			func(c *Client) error { return c.DeleteUser(t.Context(), "one") },
			"DELETE /minio/admin/v3/remove-user?accessKey=one", "",
		},
		"put policy": {
			func(c *Client) error { return c.PutPolicy(t.Context(), "one two", []byte(`{"Version":"1"}`)) },
			"PUT /minio/admin/v3/add-canned-policy?name=one%20two", `{"Version":"1"}`,
		},
		"delete policy": {
			func(c *Client) error { return c.DeletePolicy(t.Context(), "one") },
			"DELETE /minio/admin/v3/remove-canned-policy?name=one", "",
		},
		"set policy": {
			func(c *Client) error { return c.SetUserPolicy(t.Context(), "one", "read") },
			"PUT /minio/admin/v3/set-user-or-group-policy?isGroup=false&policyName=read&userOrGroup=one", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var minio server
			if err := tt.call(minio.client(t)); err != nil {
				t.Fatal(err)
			}
			if got := minio.request.Method + " " + minio.request.RequestURI; got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
			if tt.body != "" && string(minio.body) != tt.body {
				t.Errorf("got the body %s, want %s", minio.body, tt.body)
			}
			sum := sha256.Sum256(minio.body)
			if got := minio.request.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
				t.Errorf("the signed sum %s is not of the body", got)
			}
			signed := minio.request.Header.Get("Authorization")
			if !strings.HasPrefix(signed, "AWS4-HMAC-SHA256 Credential="+adminKey+"/") ||
				!strings.Contains(signed, "x-amz-content-sha256") || !strings.Contains(signed, "Signature=") {
				t.Errorf("the request is signed with %q", signed)
			}
		})
	}
}

func TestSecretKeyTravelsEncrypted(t *testing.T) {
	t.Parallel()
	var minio server
	if err := minio.client(t).PutUser(t.Context(), "one", "secret-of-one"); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(minio.body), "secret-of-one") {
		t.Error("the secret key is sent in plain text")
	}
	got, err := decrypt(adminSecret, minio.body)
	if err != nil {
		t.Fatalf("MinIO cannot decrypt the body: %v", err)
	}
	if want := `{"secretKey":"secret-of-one","status":"enabled"}`; string(got) != want {
		t.Errorf("MinIO decrypts %s, want %s", got, want)
	}
}

func TestErrorsAreMinIOs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		answer     string
		code, text string
	}{
		"MinIO's":   {http.StatusForbidden, `{"Code":"AccessDenied","Message":"Access Denied."}`, "AccessDenied", "Access Denied."},
		"a page":    {http.StatusBadGateway, "<html>secrets of the proxy</html>", "", "MinIO's admin API answered 502 Bad Gateway"},
		"elsewhere": {http.StatusTemporaryRedirect, "", "", "MinIO's admin API answered 307 Temporary Redirect"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := server{status: tt.status, answer: tt.answer}
			err := fake.client(t).PutPolicy(t.Context(), "one", []byte("{}"))
			var refused minio.ErrorResponse
			if !errors.As(err, &refused) || refused.Code != tt.code || refused.StatusCode != tt.status || err.Error() != tt.text {
				t.Errorf("got %#v, want code %q and %q", err, tt.code, tt.text)
			}
			if strings.HasSuffix(fake.request.URL.Path, "elsewhere") {
				t.Error("a redirect was followed")
			}
		})
	}
}

func TestDeletingAMissingUserSucceeds(t *testing.T) {
	t.Parallel()
	gone := server{status: http.StatusNotFound, answer: `{"Code":"XMinioAdminNoSuchUser","Message":"no such user"}`}
	if err := gone.client(t).DeleteUser(t.Context(), "one"); err != nil {
		t.Errorf("DeleteUser() = %v for a missing user", err)
	}
	refused := server{status: http.StatusForbidden, answer: `{"Code":"AccessDenied","Message":"Access Denied."}`}
	if err := refused.client(t).DeleteUser(t.Context(), "one"); err == nil {
		t.Error("DeleteUser() hides a refusal")
	}
}
