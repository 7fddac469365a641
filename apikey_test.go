package daap_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"math/big"
	"strings"
	"testing"

	"github.com/google/uuid"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/daap-dev/daap"
)

// credentials are some at the edges of what there can be, and some of no kind.
func credentials() []daap.Credential {
	some := []daap.Credential{{}, {KeyID: uuid.Max}}
	for i := range some[1].Secret {
		some[1].Secret[i] = 0xff
	}
	some = append(some, daap.Credential{KeyID: uuid.Max}, daap.Credential{Secret: some[1].Secret})
	for range 200 {
		some = append(some, daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()})
	}
	return some
}

// written is how a credential reads by the book: math/big has the digits.
func written(c daap.Credential) string {
	in62 := func(raw []byte, width int) string {
		digits := new(big.Int).SetBytes(raw).Text(62)
		return strings.Repeat("0", width-len(digits)) + digits
	}
	return sealed("daap_" + in62(c.KeyID[:], 22) + "_" + in62(c.Secret[:], 43))
}

// sealed adds the checksum that belongs to a text, whatever that is.
func sealed(text string) string {
	var sum [4]byte
	binary.BigEndian.PutUint32(sum[:], crc32.ChecksumIEEE([]byte(text)))
	digits := new(big.Int).SetBytes(sum[:]).Text(62)
	return text + "_" + strings.Repeat("0", 6-len(digits)) + digits
}

func TestCredentialRoundTrips(t *testing.T) {
	t.Parallel()
	for _, c := range credentials() {
		text := c.Reveal()
		if text != written(c) {
			t.Errorf("Reveal() = %s, want %s", text, written(c))
		}
		if got, ok := daap.ParseCredential(text); !ok || got != c {
			t.Errorf("ParseCredential(%s) = %t, and another credential", text, ok)
		}
		if prefix := (daap.APIKey{ID: c.KeyID}).Prefix(); prefix != text[:27] {
			t.Errorf("Prefix() = %s of %s", prefix, text)
		}
	}
}

func TestCredentialWithAChangedCharacterIsRefused(t *testing.T) {
	t.Parallel()
	text := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}.Reveal()
	for at := range text {
		for other := range 256 {
			changed := []byte(text)
			if changed[at] == byte(other) {
				continue
			}
			changed[at] = byte(other)
			if _, ok := daap.ParseCredential(string(changed)); ok {
				t.Errorf("character %d may be %q", at, byte(other))
			}
		}
	}
	for at := 1; at < len(text); at++ {
		if text[at] == text[at-1] {
			continue
		}
		swapped := []byte(text)
		swapped[at], swapped[at-1] = swapped[at-1], swapped[at]
		if _, ok := daap.ParseCredential(string(swapped)); ok {
			t.Errorf("characters %d and %d may be the other way round", at-1, at)
		}
	}
}

func TestInvalidCredentialWithAValidChecksumIsRefused(t *testing.T) {
	t.Parallel()
	id, secret := strings.Repeat("0", 22), strings.Repeat("0", 43)
	// 62 to the 22nd is more than 2 to the 128th, and 62 to the 43rd more than 2 to the 256th.
	overID := new(big.Int).Lsh(big.NewInt(1), 128).Text(62)
	overSecret := new(big.Int).Lsh(big.NewInt(1), 256).Text(62)
	if _, ok := daap.ParseCredential(sealed("daap_" + id + "_" + secret)); !ok {
		t.Fatal("the least credential is refused")
	}
	for name, text := range map[string]string{
		"empty":                      "",
		"nothing but a checksum":     sealed(""),
		"another word":               sealed("DAAP_" + id + "_" + secret),
		"another separator":          sealed("daap-" + id + "_" + secret),
		"a separator elsewhere":      sealed("daap_" + id[1:] + "_0" + secret),
		"a separator within":         sealed("daap_" + id + "_" + secret[:20] + "_" + secret[:22]),
		"short id":                   sealed("daap_" + id[1:] + "_" + secret),
		"long secret":                sealed("daap_" + id + "_0" + secret),
		"no secret":                  sealed("daap_" + id),
		"an id of 129 bits":          sealed("daap_" + overID + "_" + secret),
		"the largest id":             sealed("daap_" + strings.Repeat("Z", 22) + "_" + secret),
		"a secret of 257 bits":       sealed("daap_" + id + "_" + overSecret),
		"the largest secret":         sealed("daap_" + id + "_" + strings.Repeat("Z", 43)),
		"signed":                     sealed("daap_" + id + "_+" + secret[1:]),
		"negative":                   sealed("daap_-" + id[1:] + "_" + secret),
		"of base 64":                 sealed("daap_" + id + "_" + secret[1:] + "/"),
		"of other digits":            sealed("daap_" + id + "_" + secret[3:] + "٣" + "0"),
		"with NUL":                   sealed("daap_" + id + "_" + secret[1:] + "\x00"),
		"with a space":               sealed("daap_" + id + "_" + secret[1:] + " "),
		"with a line end":            sealed("daap_"+id+"_"+secret) + "\n",
		"in quotes":                  `"` + sealed("daap_"+id+"_"+secret) + `"`,
		"a checksum that is no sum":  "daap_" + id + "_" + secret + "_ZZZZZZ",
		"a checksum with a sign":     "daap_" + id + "_" + secret + "_-00000",
		"the checksum of upper case": strings.ToUpper(sealed("daap_" + id + "_" + secret)),
	} {
		if _, ok := daap.ParseCredential(text); ok {
			t.Errorf("%s: %q is taken for a credential", name, text)
		}
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	t.Parallel()
	c := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}
	issued := daap.IssuedKey{APIKey: daap.APIKey{ID: c.KeyID}, Credential: &c}
	var all strings.Builder
	// Not %p and %w: fmt takes them before it asks the value, and go vet refuses them for one of this kind.
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%e", "%t"} {
		for _, value := range []any{c.Secret, &c.Secret, c, &c, issued, []daap.Secret{c.Secret}, map[string]any{"secret": c}} {
			fmt.Fprintf(&all, verb+"\n", value)
		}
	}
	fmt.Fprintln(&all, fmt.Errorf("made %v", c))
	for _, value := range []any{c.Secret, c, issued} {
		encoded, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(encoded)
	}
	sink := zapcore.AddSync(&all)
	for _, encoder := range []zapcore.Encoder{
		zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
	} {
		log := zap.New(zapcore.NewCore(encoder, sink, zap.DebugLevel))
		log.Info("made", zap.Any("secret", c.Secret), zap.Any("credential", c), zap.Any("issued", issued),
			zap.Reflect("reflected", &c), zap.Inline(zapcore.ObjectMarshalerFunc(func(e zapcore.ObjectEncoder) error {
				return e.AddReflected("inline", c)
			})))
		log.Sugar().Infow("made", "credential", c, "secret", &c.Secret)
	}
	printed := all.String()
	if !strings.Contains(printed, "[secret]") {
		t.Fatal("nothing stands for the secret: was it printed at all?")
	}
	numbers := strings.Trim(fmt.Sprintf("%d", c.Secret[:4]), "[]")
	listed := strings.ReplaceAll(numbers, " ", ",")
	for what, trace := range map[string]string{
		"as it is sent": c.Reveal()[28:71], "in hex": fmt.Sprintf("%x", c.Secret[:4]), "in HEX": fmt.Sprintf("%X", c.Secret[:4]),
		"in numbers": numbers, "in a list": listed, "as it is": string(c.Secret[:8]),
	} {
		if strings.Contains(printed, trace) {
			t.Errorf("the secret is printed %s", what)
		}
	}
}

func BenchmarkParseCredential(b *testing.B) {
	b.ReportAllocs()
	text := daap.Credential{KeyID: uuid.New(), Secret: daap.NewSecret()}.Reveal()
	for b.Loop() {
		if _, ok := daap.ParseCredential(text); !ok {
			b.Fatal("refused")
		}
	}
}
