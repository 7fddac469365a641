package persistence

import ("testing";"encoding/json";"github.com/daap-dev/daap")

func BenchmarkProfileRow(b *testing.B) {
	raw, _ := json.Marshal(profileRow(filled[daap.Profile]()))
	for b.Loop() { var r profileRow; if err := json.Unmarshal(raw, &r); err != nil { b.Fatal(err) } }
}
func BenchmarkProfileStruct(b *testing.B) {
	raw, _ := json.Marshal(filled[daap.Profile]())
	for b.Loop() { var r daap.Profile; if err := json.Unmarshal(raw, &r); err != nil { b.Fatal(err) } }
}
