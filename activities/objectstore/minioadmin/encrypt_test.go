package minioadmin

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"testing"
)

// The sums are of bodies that another implementation of the format created, with the same key, salt and nonce.
func TestEncryptionMatchesAnotherImplementation(t *testing.T) {
	t.Parallel()
	header := make([]byte, saltSize+1+nonceSize)
	for i := range header {
		header[i] = byte(i*7 + 3)
	}
	header[saltSize] = schemePBKDF2
	for size, want := range map[int]string{
		0:                "d0d29b252937a3dd475840e1e921c1416502e983589ea6aba03813c4b2ea7246",
		20:               "5f5019a859791cdad63649068d1f7c5255f389bf1758e7c4b855bc7f9d884480",
		fragmentSize:     "fb3b4152410803eca6f65858bdde769f55fa753bfbc675cea66f150da45fb42e",
		fragmentSize + 1: "3b40a7ad8ee2213bca7dad08d28db166a232f5a2979caefbaf732183547d8e2a",
		40_000:           "4bc38e74931623e576cb2c4b04113a642d004f92824f26ca71291d3054db2768",
	} {
		text := bytes.Repeat([]byte("0123456789"), size/10+1)[:size]
		sealed, err := seal("a-secret-key", header, text)
		if err != nil {
			t.Fatal(err)
		}
		sum := sha256.Sum256(sealed)
		if got := hex.EncodeToString(sum[:]); got != want {
			t.Errorf("a body of %d bytes is encrypted to sum %s, want %s", size, got, want)
		}
		if got, err := decrypt("a-secret-key", sealed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("a body of %d bytes is decrypted to %d bytes, %v", size, len(got), err)
		}
	}
}

func TestEqualBodiesAreEncryptedDifferently(t *testing.T) {
	t.Parallel()
	one, err := encrypt("a-secret-key", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	other, err := encrypt("a-secret-key", []byte("text"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(one[:saltSize], other[:saltSize]) || bytes.Equal(one[saltSize+1:], other[saltSize+1:]) {
		t.Error("the salt or the nonce is used twice")
	}
}

// decrypt opens a body like MinIO. The fixed sums above prove it right, so that the fake MinIO can rely on it.
func decrypt(secretKey string, body []byte) ([]byte, error) {
	if len(body) < saltSize+1+nonceSize || body[saltSize] != schemePBKDF2 {
		return nil, errors.New("the body has no header, or another scheme")
	}
	key, err := pbkdf2.Key(sha256.New, secretKey, body[:saltSize], pbkdf2Iterations, keySize)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	nonce := append(bytes.Clone(body[saltSize+1:saltSize+1+nonceSize]), 0, 0, 0, 0)
	tag := gcm.Seal(nil, nonce, nil, nil)
	body = body[saltSize+1+nonceSize:]
	var text []byte
	for counter := uint32(1); ; counter++ {
		fragment := body[:min(len(body), fragmentSize+gcm.Overhead())]
		body = body[len(fragment):]
		mark := byte(moreFollow)
		if len(body) == 0 {
			mark = lastFragment
		}
		binary.LittleEndian.PutUint32(nonce[nonceSize:], counter)
		if text, err = gcm.Open(text, nonce, fragment, append([]byte{mark}, tag...)); err != nil || len(body) == 0 {
			return text, err
		}
	}
}
