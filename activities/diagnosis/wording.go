package diagnosis

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// words are any of the texts by which one kind of trouble is known.
type words []string

// in says whether the text has one of the words, in whatever case.
func (w words) in(text string) bool {
	text = strings.ToLower(text)
	return slices.ContainsFunc(w, func(word string) bool { return strings.Contains(text, strings.ToLower(word)) })
}

// All text that is matched stands here. There is nothing else to go by: kubelet's reasons are constants of
// kubelet alone, admission and the scheduler answer in sentences, CNPG sets some phases as they come, and what
// object stores refuse reaches a log as the words of a library.
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
	claimWords = words{ // of the scheduler
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
	secretReasonWords = words{"SecretNotFound"} // of CNPG
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
	webhookWords     = words{"failed calling webhook"} // the API server has no reason of its own for it
	exceededWords    = words{"exceeded quota"}
	rbacWords        = words{"cannot "} // User "…" cannot create …
)

// StoreDenied reports whether the text says that an object store denied access or was not reached.
func StoreDenied(text string) bool { return storeWords.in(text) }

// ObjectLocked reports whether the text says that an object may not be removed yet.
func ObjectLocked(text string) bool { return lockWords.in(text) }

// logLine is one line of a container's log.
type logLine struct {
	Structured bool
	Level      string
	Text       string // of a structured line its message and error
	Whole      string
}

// logOf splits a log into its lines. CNPG's containers write JSON; what they start may write plain text between.
func logOf(text string) []logLine {
	var lines []logLine
	for whole := range strings.Lines(text) {
		whole = strings.TrimSpace(whole)
		if whole == "" {
			continue
		}
		line := logLine{Text: whole, Whole: whole}
		if strings.HasPrefix(whole, "{") {
			// One that was cut is no JSON and shows nothing.
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

// errorsShown is how many lines of a log are shown.
const errorsShown = 3

// lastErrors returns the last errors of a log in one line: of structured lines those of level error, else the
// last plain ones. Empty when there are none.
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
