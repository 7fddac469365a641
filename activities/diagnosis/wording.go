package diagnosis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// words are texts that identify one kind of problem. One of them is enough.
type words []string

// in reports whether the text contains one of the words; case does not matter.
func (w words) in(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(w, func(word string) bool { return strings.Contains(text, strings.ToLower(word)) })
}

// These are all texts that are matched, because no better source exists: kubelet's reasons are constants of kubelet
// only, admission and the scheduler report sentences, CNPG has no constants for some phases, and the errors of object
// stores are in logs as the texts of a library.
var (
	imageWords = words{
		"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable",
	}
	podSecurityWords = words{"violates PodSecurity"}
	quotaWords       = words{ // ResourceQuota's, then LimitRange's
		"exceeded quota", "failed quota",
		"maximum cpu", "maximum memory", "maximum storage", "maximum ephemeral-storage",
		"minimum cpu", "minimum memory", "minimum storage", "minimum ephemeral-storage",
		"max limit to request ratio",
	}
	claimWords = words{ // the scheduler's
		"unbound immediate PersistentVolumeClaim", "didn't find available persistent volumes",
		"persistentvolumeclaim \"",
	}
	claimFailedWords  = words{"ProvisioningFailed", "FailedBinding"}
	claimComingWords  = words{"ExternalProvisioning", "Provisioning"}
	claimWaitsWords   = words{"WaitForFirstConsumer", "WaitForPodScheduled"}
	fullPhaseWords    = words{"Not enough disk space"} // CNPG has no constant for it
	fullWords         = words{"No space left on device", "no free disk space for WALs"}
	configErrorWords  = words{"CreateContainerConfigError", "CreateContainerError"}
	secretWords       = words{"secret", "configmap"}
	missingWords      = words{"not found", "couldn't find key", "non-existent"}
	secretReasonWords = words{"SecretNotFound"} // CNPG's
	mountReasonWords  = words{"FailedMount"}
	storeWords        = words{
		"AccessDenied", "Access Denied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "NoSuchBucket",
		"403 Forbidden", "(403)", "could not connect to the endpoint URL", "Unable to locate credentials",
	}
	lockWords        = words{"WORM protected", "ObjectLocked", "object is locked"}
	noBackupWords    = words{"no target backup found"}
	unreachedWords   = words{"recovery ended before configured recovery target was reached"}
	lastReachedWords = words{"last completed transaction was at log time"}
	notEmptyWords    = words{"Expected empty archive"}
	crashWords       = words{"CrashLoopBackOff"}
	networkWords     = words{"Instance Status Extraction Error: HTTP communication issue"}
	dialWords        = words{"dial tcp"}
	apiWords         = words{"/apis/postgresql.cnpg.io/", "/api/v1/"}
	webhookWords     = words{"failed calling webhook"} // the API server has no specific reason for it
	exceededWords    = words{"exceeded quota"}
	rbacWords        = words{"cannot "} // User "…" cannot create …
)

// StoreDenied reports whether the text says that an object store denied access or could not be reached.
func StoreDenied(text string) bool { return storeWords.in(text) }

// ObjectLocked reports whether the text says that an object may not be deleted yet.
func ObjectLocked(text string) bool { return lockWords.in(text) }

// logLine is one line of a container's log.
type logLine struct {
	Structured bool
	Level      string
	Text       string // the message and error of a structured line
	Whole      string
}

// logOf splits a log into its lines. CNPG's containers write JSON; their child processes may write plain text in
// between.
func logOf(text string) []logLine {
	var lines []logLine
	for whole := range strings.Lines(text) {
		whole = strings.TrimSpace(whole)
		if whole == "" {
			continue
		}
		line := logLine{Text: whole, Whole: whole}
		if strings.HasPrefix(whole, "{") {
			// A line that was cut is not JSON; it is not shown.
			line.Structured = true
			line.Level, line.Text = parseLine(whole)
		}
		lines = append(lines, line)
	}
	return lines
}

func parseLine(whole string) (level, text string) {
	var entry struct {
		Level string `json:"level"`
		Msg   string `json:"msg"`
		Error any    `json:"error"`
		// Record is a line of PostgreSQL's own log.
		Record struct {
			Message string `json:"message"`
		} `json:"record"`
	}
	if json.Unmarshal([]byte(whole), &entry) != nil {
		return "", ""
	}
	if entry.Record.Message != "" {
		return entry.Level, entry.Record.Message
	}
	if entry.Error == nil {
		return entry.Level, entry.Msg
	}
	return entry.Level, WithReason(entry.Msg, fmt.Sprint(entry.Error))
}

// errorsShown is the number of lines of a log that are shown.
const errorsShown = 3

// lastErrors returns the last errors of a log in one line: the structured lines of level error, or if there are none,
// the last plain lines. Empty if there are none either.
func lastErrors(log string) string {
	var failed, plain []string
	for _, line := range logOf(log) {
		switch {
		case !line.Structured:
			plain = append(plain, line.Text)
		case line.Level == "error" && line.Text != "" && !slices.Contains(failed, line.Text):
			failed = append(failed, line.Text)
		}
	}
	if len(failed) == 0 {
		failed = plain
	}
	return strings.Join(failed[max(0, len(failed)-errorsShown):], "; ")
}
