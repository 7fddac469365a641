// Package minioadmin is a client of MinIO's admin API. It manages the users of the object store and their policies.
package minioadmin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/signer"
)

// Client calls the admin API of one MinIO as one of its users. It follows no redirects and does not retry.
// All its methods are safe to repeat. An error that MinIO answered with is a minio.ErrorResponse.
type Client struct {
	endpoint             url.URL
	accessKey, secretKey string
	http                 http.Client
}

// New returns a client that signs in with the keys. Only scheme and host of the endpoint count.
func New(endpoint *url.URL, accessKey, secretKey string, transport http.RoundTripper) *Client {
	return &Client{
		endpoint:  url.URL{Scheme: endpoint.Scheme, Host: endpoint.Host, Path: "/minio/admin/v3/"},
		accessKey: accessKey,
		secretKey: secretKey,
		http: http.Client{
			Transport:     transport,
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// codeNoSuchUser is the code of the error for a user that does not exist.
const codeNoSuchUser = "XMinioAdminNoSuchUser"

// PutUser creates the user, or gives an existing one this secret key. The user keeps its policies and is enabled.
func (c *Client) PutUser(ctx context.Context, user, secretKey string) error {
	body, err := json.Marshal(map[string]string{"secretKey": secretKey, "status": "enabled"})
	if err != nil {
		return fmt.Errorf("encode user %s: %w", user, err)
	}
	_, err = c.Do(ctx, Call{
		Method: http.MethodPut, Name: "add-user", Query: url.Values{"accessKey": {user}}, Body: body, Encrypt: true,
	})
	return err
}

// DeleteUser deletes the user with its service accounts and sessions. It succeeds if there is no such user.
func (c *Client) DeleteUser(ctx context.Context, user string) error {
	_, err := c.Do(ctx, Call{Method: http.MethodDelete, Name: "remove-user", Query: url.Values{"accessKey": {user}}})
	var refused minio.ErrorResponse
	if errors.As(err, &refused) && refused.Code == codeNoSuchUser {
		return nil
	}
	return err
}

// PutPolicy creates or replaces the policy. The document is IAM's JSON.
func (c *Client) PutPolicy(ctx context.Context, policy string, document []byte) error {
	_, err := c.Do(ctx, Call{
		Method: http.MethodPut, Name: "add-canned-policy", Query: url.Values{"name": {policy}}, Body: document,
	})
	return err
}

// DeletePolicy deletes the policy. It succeeds if there is no such policy; one that a user has is refused.
func (c *Client) DeletePolicy(ctx context.Context, policy string) error {
	_, err := c.Do(ctx, Call{
		Method: http.MethodDelete, Name: "remove-canned-policy", Query: url.Values{"name": {policy}},
	})
	return err
}

// SetUserPolicy makes the policy the only one of the user. Both must exist.
//
// MinIO prefers another call, which attaches one policy to those that the user has. That call fails when it is
// repeated, and it keeps a policy that an administrator attached by hand.
func (c *Client) SetUserPolicy(ctx context.Context, user, policy string) error {
	_, err := c.Do(ctx, Call{
		Method: http.MethodPut, Name: "set-user-or-group-policy",
		Query: url.Values{"userOrGroup": {user}, "isGroup": {"false"}, "policyName": {policy}},
	})
	return err
}

// Call is one request to the admin API.
type Call struct {
	// Method and Name choose the function, such as PUT and add-user; Query holds its arguments.
	Method, Name string
	Query        url.Values
	// Body is sent encrypted with the client's secret key if Encrypt is set.
	Body    []byte
	Encrypt bool
}

// answerLimit limits a response, in bytes. The longest one lists the policies of all databases.
const answerLimit = 16 << 20

// region is part of the signature. The admin API belongs to no region and accepts any.
const region = "us-east-1"

// Do sends the call and returns the body of MinIO's response.
func (c *Client) Do(ctx context.Context, call Call) ([]byte, error) {
	body := call.Body
	if call.Encrypt {
		var err error
		if body, err = encrypt(c.secretKey, call.Body); err != nil {
			return nil, fmt.Errorf("encrypt %s for MinIO: %w", call.Name, err)
		}
	}
	to := c.endpoint
	to.Path += call.Name
	to.RawQuery = call.Query.Encode()
	request, err := http.NewRequestWithContext(ctx, call.Method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("create a request to MinIO: %w", err)
	}
	sum := sha256.Sum256(body)
	request.Header.Set("X-Amz-Content-Sha256", hex.EncodeToString(sum[:]))
	answer, err := c.http.Do(signer.SignV4(*request, c.accessKey, c.secretKey, "", region))
	if err != nil {
		return nil, fmt.Errorf("call %s of MinIO: %w", call.Name, err)
	}
	defer func() { _ = answer.Body.Close() }() // nothing more is read from it
	content, err := io.ReadAll(io.LimitReader(answer.Body, answerLimit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the answer of MinIO to %s: %w", call.Name, err)
	case answer.StatusCode/100 != 2:
		return nil, refusal(answer, content)
	case len(content) > answerLimit:
		return nil, fmt.Errorf("read the answer of MinIO to %s: it is longer than %d bytes", call.Name, answerLimit)
	}
	return content, nil
}

// refusal returns the error in a response. A proxy in front of MinIO may respond with a page instead, which is left
// out.
func refusal(answer *http.Response, content []byte) error {
	refused := minio.ErrorResponse{}
	if err := json.Unmarshal(content, &refused); err != nil || refused.Code == "" {
		refused = minio.ErrorResponse{Message: "MinIO's admin API answered " + answer.Status}
	}
	refused.StatusCode = answer.StatusCode
	return refused
}
