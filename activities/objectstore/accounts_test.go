package objectstore

import (
	"encoding/json"
	"testing"

	"github.com/google/uuid"

	"github.com/daap-dev/daap"
)

var sourceOfOrders = daap.Source{
	DatabaseID: uuid.MustParse("0190a0a0-0000-7000-8000-000000000001"), ServerName: "pg-2",
	Destination: "s3://backups/shop/0190a0a0-0000-7000-8000-000000000001",
}

func TestPolicyAllowsOnlyOneDatabase(t *testing.T) {
	t.Parallel()
	db := keptOrders
	for name, tt := range map[string]struct {
		policy []byte
		want   string
	}{
		"archive": {ArchivePolicy(db), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Action":["admin:*"]},
			{"Effect":"Deny","Action":["s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::backups/*"]},
			{"Effect":"Allow","Action":["s3:AbortMultipartUpload","s3:DeleteObject","s3:GetObject","s3:ListMultipartUploadParts","s3:PutObject"],
			 "Resource":["arn:aws:s3:::backups/shop/0190a0a0-0000-7000-8000-000000000002/*"]},
			{"Effect":"Allow","Action":["s3:HeadBucket"],"Resource":["arn:aws:s3:::backups"]},
			{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::backups"],"Condition":{
			 "ForAllValues:StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000002/*"]},
			 "StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000002/*"]}}}]}`},
		"source": {SourcePolicy(sourceOfOrders), `{"Version":"2012-10-17","Statement":[
			{"Effect":"Deny","Action":["admin:*"]},
			{"Effect":"Deny","Action":["s3:DeleteObjectVersion"],"Resource":["arn:aws:s3:::backups/*"]},
			{"Effect":"Allow","Action":["s3:GetObject"],
			 "Resource":["arn:aws:s3:::backups/shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]},
			{"Effect":"Allow","Action":["s3:HeadBucket"],"Resource":["arn:aws:s3:::backups"]},
			{"Effect":"Allow","Action":["s3:ListBucket"],"Resource":["arn:aws:s3:::backups"],"Condition":{
			 "ForAllValues:StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]},
			 "StringLike":{"s3:prefix":["shop/0190a0a0-0000-7000-8000-000000000001/pg-2/*"]}}}]}`},
	} {
		if got, want := compact(t, tt.policy), compact(t, []byte(tt.want)); got != want {
			t.Errorf("%s: the policy is\n%s\nwant\n%s", name, got, want)
		}
	}
}

func compact(t *testing.T, text []byte) string {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	again, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(again)
}
