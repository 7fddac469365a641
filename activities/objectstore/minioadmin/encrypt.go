package minioadmin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
)

// An encrypted body is
//
//	salt (32 bytes) | scheme (1 byte) | nonce (8 bytes) | fragments
//
// The scheme says how the key comes from the caller's secret key and the salt, and which cipher the fragments have.
// A fragment is 16 KiB of the text, sealed; the last one may be shorter. The cipher's nonce is the body's nonce and a
// counter of four bytes, little endian. Counter 0 seals nothing, for a tag. Each fragment then has the next counter,
// and as additional data one byte, which is 0x80 for the last fragment and 0x00 for the others, and that tag.
const (
	saltSize     = 32
	nonceSize    = 8
	keySize      = 32
	fragmentSize = 16 << 10

	// schemePBKDF2 is PBKDF2 with SHA-256, and AES-256-GCM. Beside it MinIO has schemes with Argon2id, which take
	// 64 MiB and a second on both sides; secret keys of machines are random and gain nothing by that.
	schemePBKDF2     = 2
	pbkdf2Iterations = 8192

	moreFollow   = 0x00
	lastFragment = 0x80
)

// encrypt returns the text as MinIO reads it from the user with the secret key.
func encrypt(secretKey string, text []byte) ([]byte, error) {
	header := make([]byte, saltSize+1+nonceSize)
	_, _ = rand.Read(header) // it never fails
	header[saltSize] = schemePBKDF2
	return seal(secretKey, header, text)
}

// seal encrypts the text with the salt and the nonce that are in the header.
func seal(secretKey string, header, text []byte) ([]byte, error) {
	key, err := pbkdf2.Key(sha256.New, secretKey, header[:saltSize], pbkdf2Iterations, keySize)
	if err != nil {
		return nil, fmt.Errorf("derive a key: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("create a cipher: %w", err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("create a cipher: %w", err)
	}
	nonce := make([]byte, gcm.NonceSize())
	copy(nonce, header[saltSize+1:])
	additional := gcm.Seal([]byte{moreFollow}, nonce, nil, nil)
	sealed := bytes.Clone(header)
	for counter := uint32(1); ; counter++ {
		fragment := text[:min(len(text), fragmentSize)]
		text = text[len(fragment):]
		if len(text) == 0 {
			additional[0] = lastFragment
		}
		binary.LittleEndian.PutUint32(nonce[nonceSize:], counter)
		sealed = gcm.Seal(sealed, nonce, fragment, additional)
		if len(text) == 0 {
			return sealed, nil
		}
	}
}
