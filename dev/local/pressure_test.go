package local

import "testing"

func TestPressureIsTheAverageOfTenSeconds(t *testing.T) {
	t.Parallel()
	const kernel = "some avg10=95.64 avg60=12.67 avg300=83.33 total=13739635628\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
	for text, want := range map[string]float64{kernel: 95.64, "": 0, "full avg10=3": 0} {
		if got := pressure(text); got != want {
			t.Errorf("pressure(%q) = %v, want %v", text, got, want)
		}
	}
}
