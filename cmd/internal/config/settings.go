package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// Setting is an environment variable that DAAP reads. Help texts and docs/operators/settings.md list them.
type Setting struct {
	Name string
	// Meaning is for operators: what it sets, with the unit and the range of its values.
	Meaning string
	// Default is the value that applies where it is not set, in words where there is no such value. Settings takes it
	// from the field of Config or Codec unless it is given here.
	Default string
	// Readers are the commands that read it.
	Readers []string
	// Secret values must not appear in logs or in version control.
	Secret bool
}

// SettingGroup is a part of all settings.
type SettingGroup struct {
	Title    string
	Settings []Setting
}

// The commands that read a setting. serve reads all that api and worker read.
var (
	everyProcess    = []string{"api", "worker", "migrate", "keys", "audit"}
	everyLogger     = []string{"api", "worker", "migrate", "keys", "audit", "codec"}
	apiAndWorker    = []string{"api", "worker"}
	temporalClients = []string{"api", "worker", "migrate"}
	auditReaders    = []string{"worker", "audit"}
)

// Settings returns every setting once, with its default. TestSettingsAreComplete compares it with Config and Codec.
func Settings() []SettingGroup {
	defaults := map[string]string{}
	for _, field := range fields(reflect.TypeFor[Codec](), "") {
		defaults[field.name] = field.value
	}
	for _, field := range fields(reflect.TypeFor[Config](), "") { // where both have it, this one is for most commands
		defaults[field.name] = field.value
	}
	all := slices.Clone(settings)
	for i, group := range all {
		all[i].Settings = slices.Clone(group.Settings)
		for j, setting := range group.Settings {
			if setting.Default == "" {
				all[i].Settings[j].Default = defaults[setting.Name]
			}
		}
	}
	return all
}

// field is a field of Config or Codec that is read from a variable.
type field struct{ name, value string }

// fields lists the variables of the struct and their defaults, as its tags name them.
func fields(of reflect.Type, prefix string) []field {
	var all []field
	for f := range of.Fields() {
		if tag := f.Tag.Get("env"); tag != "" {
			name, options, _ := strings.Cut(tag, ",")
			value := f.Tag.Get("envDefault")
			if strings.Contains(options, "required") {
				value = "required"
			}
			all = append(all, field{prefix + name, value})
		} else if f.Type.Kind() == reflect.Struct {
			all = append(all, fields(f.Type, prefix+f.Tag.Get("envPrefix"))...)
		}
	}
	return all
}

const (
	helpWidth = 100
	helpNames = 26
)

// Help describes the settings that the command reads, for --help; with an empty command, all of them.
func Help(command string) string {
	text := "Environment:"
	for _, group := range Settings() {
		for _, setting := range group.Settings {
			if command != "" && !setting.readBy(command) {
				continue
			}
			name := "  " + setting.Name
			if len(name) >= helpNames {
				name += "\n" + strings.Repeat(" ", helpNames)
			}
			lines := wrap(setting.Meaning+" ("+setting.shownDefault()+")", helpWidth-helpNames)
			text += fmt.Sprintf("\n%-*s%s", helpNames, name, strings.Join(lines, "\n"+strings.Repeat(" ", helpNames)))
		}
	}
	return text
}

func (s Setting) readBy(command string) bool {
	if command == "serve" {
		return s.readBy("api") || s.readBy("worker")
	}
	return slices.Contains(s.Readers, command)
}

func (s Setting) shownDefault() string {
	if s.Default == "" {
		return "default: none"
	}
	if strings.HasPrefix(s.Default, "required") {
		return s.Default
	}
	return "default: " + s.Default
}

// wrap breaks the text between words into lines of at most so many characters; longer words stay whole.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) <= width:
			line += " " + word
		default:
			lines, line = append(lines, line), word
		}
	}
	return append(lines, line)
}
