package local

import (
	"fmt"
	"os"
	"strings"
)

// busy is the processor pressure above which another test would slow down those that run, in percent.
const busy = 70

// IsBusy reports whether the machine's processors have no room for another test: for most of the last ten seconds, some
// process waited for a processor (Linux's pressure stall information). A kernel without it is never busy.
func IsBusy() bool {
	text, err := os.ReadFile("/proc/pressure/cpu")
	return err == nil && pressure(string(text)) > busy
}

// pressure returns the average of the last ten seconds, in percent; 0 if the text does not contain it.
func pressure(text string) float64 {
	some, _, _ := strings.Cut(text, "\n")
	var avg10 float64
	if _, err := fmt.Sscanf(some, "some avg10=%f", &avg10); err != nil {
		return 0
	}
	return avg10
}
