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

// CodecKey encrypts payloads in Temporal. Its ID is stored in plain text with the payload; its secret is 32 random
// bytes. A key without a secret encrypts nothing: as the first key it leaves payloads plain.
type CodecKey struct {
	ID     string
	Secret []byte
}

// The metadata of an encrypted payload.
const (
	encodingEncrypted = "binary/encrypted"
	metadataKeyID     = "encryption-key-id"
)

// ErrUnreadable is the error for a payload that was encrypted with an unknown key, or changed since.
var ErrUnreadable = errors.New("cannot decrypt payload")

// codec is AES-256-GCM over whole payloads, with the key's ID bound to each. A key may encrypt 2³² payloads.
type codec struct {
	// current is the ID of the encrypting key; empty if none encrypts.
	current string
	ciphers map[string]cipher.AEAD
}

// NewCodec returns a codec that encrypts with the first key and decrypts with any of them. Decoding leaves plain
// payloads as they are, so histories from before encryption stay readable. Without keys it encrypts nothing, and
// reports the key that an encrypted payload needs.
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

// Encode encrypts the payloads, if a key does.
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

// Decode decrypts the encrypted payloads. Its errors are ErrUnreadable and name the key.
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

// Encrypt makes a client with these options, and its workers, encrypt every payload and failure message. Temporal still
// sees workflow IDs, search attributes, and the types of workflows, activities and failures. Without keys, or with a
// first key that encrypts nothing, payloads stay plain; encrypted ones are still decrypted, or wait for their key.
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

// patientConverter prevents workflows from failing because their worker lacks a key: within a workflow an unreadable
// payload is a panic, which Temporal treats as a bug in the code. Temporal retries until a worker can read it.
type patientConverter struct{ converter.DataConverter }

// WithWorkflowContext returns the converter for use within a workflow.
func (p patientConverter) WithWorkflowContext(workflow.Context) converter.DataConverter {
	return workflowConverter(p)
}

// WithContext returns the converter for use outside of workflows, where an unreadable payload is an error.
func (p patientConverter) WithContext(context.Context) converter.DataConverter { return p }

type workflowConverter struct{ converter.DataConverter }

// FromPayload decodes a value.
func (w workflowConverter) FromPayload(payload *commonpb.Payload, value any) error {
	return orPanic(w.DataConverter.FromPayload(payload, value))
}

// FromPayloads decodes values.
func (w workflowConverter) FromPayloads(payloads *commonpb.Payloads, values ...any) error {
	return orPanic(w.DataConverter.FromPayloads(payloads, values...))
}

func orPanic(err error) error {
	if errors.Is(err, ErrUnreadable) {
		panic(err)
	}
	return err
}
