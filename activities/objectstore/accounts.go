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

// issuer makes accounts of the object store, by which databases reach it.
type issuer interface {
	// Issue makes the account be there with its secret key and its policy, and with no other right. Safe to repeat.
	Issue(ctx context.Context, account StoreAccount) error
	// Revoke removes the account, and with it whatever was got by it; one that is gone is fine.
	Revoke(ctx context.Context, accessKey string) error
}

// StoreAccount is one that reaches a part of the object store.
type StoreAccount struct {
	AccessKey, SecretKey string
	// Policy is IAM's JSON.
	Policy []byte
}

// AccessKey is the name of the account whose keys are in the Secret. It tells nobody which database it is of, and
// MinIO has names of at most twenty characters.
func AccessKey(database uuid.UUID, secret string) string {
	sum := sha256.Sum256([]byte(database.String() + "/" + secret))
	return "daap-" + strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:15]
}

// What an account may do with the objects under its prefix.
var (
	archiving = []string{
		"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:ListMultipartUploadParts", "s3:PutObject",
	}
	reading = []string{"s3:GetObject"}
)

// ArchivePolicy lets a database archive.
func ArchivePolicy(db daap.Database) []byte { return storePolicy(db.Destination(), archiving) }

// SourcePolicy lets a database read what it is restored from.
func SourcePolicy(source daap.Source) []byte {
	return storePolicy(source.Destination+"/"+source.ServerName, reading)
}

// statement is one of a policy.
type statement struct {
	Effect    string
	Action    []string
	Resource  []string                       `json:",omitempty"`
	Condition map[string]map[string][]string `json:",omitempty"`
}

// storePolicy lets an account do so to what is under the prefix, and list that. Barman asks before all it does whether
// the bucket is there; that has a right of its own (s3:HeadBucket), which lists nothing. What is denied MinIO otherwise
// allows: users change their password and make accounts of their own, and who may delete an object may delete its old
// versions. Where the bucket keeps those, they outlive who deletes with stolen keys.
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
			// One condition holds where any of several prefixes matches, the other where there is none.
			Effect: "Allow", Action: []string{"s3:ListBucket"}, Resource: []string{resource},
			Condition: map[string]map[string][]string{"StringLike": under, "ForAllValues:StringLike": under},
		},
	}})
	if err != nil {
		panic(err) // it is made of strings
	}
	return text
}
