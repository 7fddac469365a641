package workflows

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/proto"
)

// CodecKey encrypts payloads that Temporal keeps. Its ID is kept beside what it encrypts, in plain text; its secret is
// 32 random bytes. One without a secret encrypts nothing: as the first it leaves payloads plain.
type CodecKey struct {
	ID     string
	Secret []byte
}

// The metadata of a payload that is encrypted.
const (
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// ErrUnreadable is what payloads are that were encrypted with a key which is not at hand, or changed since.
var ErrUnreadable = errors.New("cannot decrypt payload")

// codec is AES-256-GCM over whole payloads, with the key's ID bound to each. A key may encrypt 2³² payloads.
type codec struct {
	// current is the ID of the key that encrypts; empty where none does.
	current string
	ciphers map[string]cipher.AEAD
}

// NewCodec returns what encrypts payloads with the first of the keys and decrypts what any of them encrypted. What is
// not encrypted it leaves as it is when it decodes: histories from before it was switched on stay readable. Without
// keys it encrypts nothing, and says of what is encrypted which key it needs.
func NewCodec(keys []CodecKey) (converter.PayloadCodec, error) { return newCodec(keys) }

func newCodec(keys []CodecKey) (*codec, error) {
	c := &codec{ciphers: map[string]cipher.AEAD{}}
	for i, key := range keys {
		if i == 0 && len(key.Secret) == 0 {
			continue
		}
		if i == 0 {
			c.current = key.ID
		}
		block, err := aes.NewCipher(key.Secret)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", key.ID, err)
		}
		if c.ciphers[key.ID], err = cipher.NewGCM(block); err != nil {
			return nil, fmt.Errorf("key %s: %w", key.ID, err)
		}
	}
	return c, nil
}

// Encode encrypts the payloads, where a key does.
func (c *codec) Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	if c.current == "" {
		return payloads, nil
	}
	return each(payloads, func(payload *commonpb.Payload) (*commonpb.Payload, error) {
		plain, err := proto.Marshal(payload)
		if err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		aead := c.ciphers[c.current]
		nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
		if _, err := rand.Read(nonce); err != nil {
			return nil, fmt.Errorf("encrypt a payload: %w", err)
		}
		return &commonpb.Payload{
			Metadata: map[string][]byte{
				converter.MetadataEncoding: []byte(encodingEncrypted), metadataKeyID: []byte(c.current),
			},
			Data: aead.Seal(nonce, nonce, plain, []byte(c.current)),
		}, nil
	})
}

// Decode decrypts those of the payloads that are encrypted. Its errors are ErrUnreadable and name the key.
func (c *codec) Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	return each(payloads, func(payload *commonpb.Payload) (*commonpb.Payload, error) {
		if string(payload.GetMetadata()[converter.MetadataEncoding]) != encodingEncrypted {
			return payload, nil
		}
		id, sealed := string(payload.GetMetadata()[metadataKeyID]), payload.GetData()
		aead, known := c.ciphers[id]
		if !known {
			return nil, fmt.Errorf("%w: key %q is not configured", ErrUnreadable, id)
		}
		if len(sealed) < aead.NonceSize() {
			return nil, fmt.Errorf("%w: it is too short for key %q", ErrUnreadable, id)
		}
		plain, err := aead.Open(nil, sealed[:aead.NonceSize()], sealed[aead.NonceSize():], []byte(id))
		if err != nil {
			return nil, fmt.Errorf("%w: it was not encrypted with key %q", ErrUnreadable, id)
		}
		var decoded commonpb.Payload
		if err := proto.Unmarshal(plain, &decoded); err != nil {
			return nil, fmt.Errorf("%w: the content decrypted with key %q is not a payload", ErrUnreadable, id)
		}
		return &decoded, nil
	})
}

func each(
	payloads []*commonpb.Payload, change func(*commonpb.Payload) (*commonpb.Payload, error),
) ([]*commonpb.Payload, error) {
	changed := make([]*commonpb.Payload, len(payloads))
	for i, payload := range payloads {
		var err error
		if changed[i], err = change(payload); err != nil {
			return nil, err
		}
	}
	return changed, nil
}

// Encrypt has a client made with the options, and the workers of that client, encrypt every payload, and the messages
// of failures. Temporal still sees IDs of workflows, search attributes, and the types of workflows, activities and
// failures. Without keys, or with a first one that encrypts nothing, they stay plain; what others encrypted is read, or
// waited for, all the same.
func Encrypt(options *client.Options, keys []CodecKey) error {
	c, err := newCodec(keys)
	if err != nil {
		return err
	}
	encrypting := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), c)
	options.DataConverter = patientConverter{encrypting}
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: encrypting, EncodeCommonAttributes: c.current != "",
	})
	return nil
}

// patientConverter keeps workflows from failing because their worker lacks a key: within a workflow an unreadable
// payload is a panic, which Temporal takes for broken code. It tries again until a worker can read it.
type patientConverter struct{ converter.DataConverter }

// WithWorkflowContext returns the converter for use within a workflow.
func (p patientConverter) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return workflowConverter(p)
}

// WithContext returns the converter for use outside of workflows, where an unreadable payload is an error.
func (p patientConverter) WithContext(context.Context) converter.DataConverter { return p }

type workflowConverter struct{ converter.DataConverter }

// FromPayload reads a value.
func (w workflowConverter) FromPayload(payload *commonpb.Payload, value any) error {
	return orPanic(w.DataConverter.FromPayload(payload, value))
}

// FromPayloads reads values.
func (w workflowConverter) FromPayloads(payloads *commonpb.Payloads, values ...any) error {
	return orPanic(w.DataConverter.FromPayloads(payloads, values...))
}

func orPanic(err error) error {
	if errors.Is(err, ErrUnreadable) {
		panic(err)
	}
	return err
}
