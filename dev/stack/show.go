package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// runStatus shows the parts; it fails when one is not up.
func runStatus() error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	statuses, err := (client{socket: filepath.Join(state, "control.sock")}).status()
	if err != nil {
		return err
	}
	bad := 0
	fmt.Print(statusTable(statuses, time.Now(), newProgress().paint))
	for _, status := range statuses {
		if status.State != stateUp && status.State != stateAbsent {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d parts are not up", bad, len(statuses))
	}
	return nil
}

// statusTable lays the parts out for people.
func statusTable(statuses []partStatus, now time.Time, paint func(string) string) string {
	var table strings.Builder
	row := func(mark, name, state, pid, since, restarts, address string) {
		line := fmt.Sprintf("%s %-13s %-9s %7s  %6s  %8s  %s", mark, name, state, pid, since, restarts, address)
		table.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	row(" ", "PART", "STATE", "PID", "FOR", "RESTARTS", "ADDRESS")
	for _, status := range statuses {
		mark, pid, state := "●", "-", status.State
		switch status.State {
		case stateUp:
			if status.Step {
				state = "done"
			}
		case stateFailed, stateStopped:
			mark = "✗"
		default:
			mark = "○"
		}
		if status.PID != 0 {
			pid = fmt.Sprint(status.PID)
		}
		row(paint(mark), status.Name, state, pid, age(now.Sub(status.Since)), fmt.Sprint(status.Restarts), status.Address)
		if status.Detail != "" {
			first, _, _ := strings.Cut(status.Detail, "\n")
			table.WriteString("    " + first + "\n")
		}
	}
	return table.String()
}

// age is a duration in its largest unit alone.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	default:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
}

// runEnv prints the environment of DAAP, ready for eval.
func runEnv() error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	content, err := os.ReadFile(filepath.Join(state, "daap.env"))
	if errors.Is(err, os.ErrNotExist) {
		return errDown
	}
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(content)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		fmt.Printf("export %s='%s'\n", name, value)
	}
	layout, err := newLayout()
	if err != nil {
		return err
	}
	fmt.Printf("export DAAP_API_KEY_FILE='%s'\nexport DAAP_API_KEY_HEADER='%s'\n", layout.keyFile(), layout.keyHeader())
	fmt.Printf("export PATH='%s':\"$PATH\"\n", filepath.Dir(layout.bin("kubectl")))
	return nil
}

func logsCommand() *cobra.Command {
	var followLog bool
	cmd := &cobra.Command{
		Use:   "logs [part]",
		Short: "Show the end of the logs, of one part or of all",
		Args:  cobra.MaximumNArgs(1),
		RunE:  func(_ *cobra.Command, args []string) error { return runLogs(args, followLog) },
	}
	cmd.Flags().BoolVarP(&followLog, "follow", "f", false, "go on as lines are written")
	return cmd
}

func runLogs(args []string, followLog bool) error {
	state, err := stateDir()
	if err != nil {
		return err
	}
	pattern := "*.log"
	if len(args) == 1 {
		pattern = filepath.Base(args[0]) + ".log"
	}
	files, err := filepath.Glob(filepath.Join(state, "log", pattern))
	if err != nil {
		return err
	}
	if len(files) == 0 {
		return fmt.Errorf("there is no such log in %s", filepath.Join(state, "log"))
	}
	sort.Strings(files)
	lines := "-n20"
	if len(files) == 1 {
		lines = "-n200"
	}
	tailArgs := []string{lines}
	if followLog {
		tailArgs = append(tailArgs, "-F")
	}
	cmd := exec.Command("tail", append(tailArgs, files...)...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return cmd.Run()
}

// tail is the end of a file, for error messages.
func tail(path string, lines int) string {
	content, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return lastLines(string(content), lines)
}
