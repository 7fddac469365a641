package objectstore

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"strings"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

// issuer manages the accounts of the object store that databases use.
type issuer interface {
	// Issue creates the account, or updates it to this secret key and this policy as its only right. Safe to repeat.
	Issue(ctx context.Context, account StoreAccount) error
	// Revoke deletes the account and all credentials derived from it; a missing account is not an error.
	Revoke(ctx context.Context, accessKey string) error
}

// StoreAccount is an account for a part of the object store.
type StoreAccount struct {
	AccessKey, SecretKey string
	// Policy is IAM's JSON.
	Policy []byte
}

// AccessKey is the name of the account whose keys are in the Secret. It does not reveal the database, and has at most
// MinIO's twenty characters.
func AccessKey(database uuid.UUID, secret string) string {
	sum := sha256.Sum256([]byte(database.String() + "/" + secret))
	return "daap-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:15]
}

// The actions of accounts on the objects under their prefix.
var (
	archiving = []string{
		"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
	}
	reading = []string{"s3:GetObject"}
)

// ArchivePolicy lets a database archive.
func ArchivePolicy(db daap.Database) []byte { return storePolicy(db.Destination(), archiving) }

// SourcePolicy lets a database read the archive that it is restored from.
func SourcePolicy(source daap.Source) []byte {
	return storePolicy(source.Destination+"/"+source.ServerName, reading)
}

// statement is one statement of a policy.
type statement struct {
	Effect    string
	Action    []string
	Resource  []string                       `json:",omitempty"`
	Condition map[string]map[string][]string `json:",omitempty"`
}

// storePolicy allows an account these actions on the objects under the prefix, and listing them. Barman checks that the
// bucket exists before it does anything else; that has a right of its own (s3:HeadBucket), which lists nothing. The
// denied actions are those that MinIO otherwise allows: users may change their password and create accounts, and an
// account that may delete an object may delete its old versions. If the bucket keeps versions, they survive a deletion
// with stolen keys.
func storePolicy(destination string, may []string) []byte {
	bucket, prefix := Locate(destination)
	resource, under := "arn:aws:s3:::"+bucket, map[string][]string{"s3:prefix": {prefix + "/*"}}
	text, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", []statement{
		{Effect: "Deny", Action: []string{"admin:*"}},
		{Effect: "Deny", Action: []string{"s3:DeleteObjectVersion"}, Resource: []string{resource + "/*"}},
		{Effect: "Allow", Action: may, Resource: []string{resource + "/" + prefix + "/*"}},
		{Effect: "Allow", Action: []string{"s3:HeadBucket"}, Resource: []string{resource}},
		{
			// The first condition matches if one of several prefixes does, the second if there is none.
			Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{resource},
			Condition: map[string]map[string][]string{"StringLike": under, "ForAllValues:StringLike": under},
		},
	}})
	if err != nil {
		panic(err) // it contains only strings
	}
	return text
}
