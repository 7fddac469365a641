package main

import "regexp"

// rule refuses a phrase.
type rule struct {
	// refuses matches the phrase; white space in it stands for any white space.
	refuses *regexp.Regexp
	// but matches the phrases among these that are good English.
	but    *regexp.Regexp
	advice string
	// notInHeadings is for phrases that are good titles.
	notInHeadings bool
}

// phrase compiles a pattern in which a space stands for any white space.
func phrase(pattern string) *regexp.Regexp {
	return regexp.MustCompile(regexp.MustCompile(` `).ReplaceAllString(pattern, `\s+`))
}

// rules are the phrases that DAAP's texts do not use. Each rule has a sentence in rules_test.go that it refuses, and
// a similar one that it allows.
var rules = []rule{
	// Clauses that stand for nouns.
	{
		refuses:       phrase(`(?:^|[.!?] )What(?:ever)? [^.!?]*(?:[.!?]|$)`),
		but:           phrase(`\?$|^\W*What (?:to|if|about)\b`),
		advice:        "begin the sentence with a noun, not with a clause",
		notInHeadings: true,
	},
	{
		refuses: phrase(`(?i)(?:;|\b(?:where|when|if|because|that|while|until|as)) what(?:ever)? [a-z]+`),
		but:     phrase(`(?i)what to\b|; what(?:ever)? (?:happens|if)\b`),
		advice:  "use a noun as the subject, not a clause",
	},
	{
		refuses: phrase(`(?i)\b(?:answers|of|than|before|after|by|like|to) what (?:is|was|are|were|has|had)\b`),
		advice:  "name the thing",
	},
	{refuses: phrase(`(?i)\bwhat of (?:it|them|the|that|this|an?|these|those)\b`), advice: "which part of"},
	{refuses: phrase(`(?i)\bthat which\b`), advice: "name the thing"},
	{
		refuses: phrase(`(?i)(?:\b\w+ |^)of which\b`),
		but:     phrase(`(?i)^(?:all|both|each|many|most|none|one|some) `),
		advice:  "split the sentence, or use whose",
	},
	{
		refuses: phrase(`(?i)\b(?:by|for|to|than|after|before|so that) who(?:m|se)? \w+s\b`),
		but:     phrase(`(?i)\b\w+ whose \w+s\b|(?:by|for|to|after|before) whom`),
		advice:  "name them: the owner, the client, the process",
	},
	{
		refuses: phrase(`(?i)\b(?:somebody|nobody|whoever|whosoever)(?:'s)?\b`),
		advice:  "name them: the user, the operator, no process",
	},
	{refuses: phrase(`(?i)\b(?:anybody|everybody)'s\b`), advice: "say who may do what with it"},
	{
		refuses: phrase(`(?i)\b(?:that|those) of ` +
			`(?:an?|the|its|their|his|all|each|every|another|others?|older|one|two|it|them)\b`),
		advice: "repeat the noun",
	},
	{refuses: phrase(`(?i)\b(?:of|for|to|in|with) one's\b`), advice: "your, or the noun"},
	{refuses: phrase(`(?i)\ball there is\b`), advice: "everything, or name it"},

	// Software that acts like a person.
	{
		refuses: phrase(`(?i)\b(?:is|are|was|were|be|been|being|gets?|not|and|as|people|clients|teams) told\b`),
		advice:  "reported, shown, informed, notified",
	},
	{
		refuses: phrase(`(?i)\btells (?:what|whether|that|why|where|when|how|of|which|who|people|its?|the)\b`),
		advice:  "reports, shows, states",
	},
	{
		refuses: phrase(`(?i)\b(?:looks|looked|looking) (?:at|whether|into|after|through)\b|\blooks for\b|\blooked for\b`),
		advice:  "checks, reads, searches, observes",
	},
	{
		refuses: phrase(`(?i)\blook whether\b|` +
			`\b(?:a|the|each|every|next|last|first|hourly) look(?: (?:at|whether|for|of)\b|[.,;:])`),
		advice: "check, observation",
	},
	{refuses: phrase(`(?i)\b(?:sees?|saw|seen|seeing) to it\b`), advice: "make sure, ensure"},
	{
		refuses: phrase(`(?i)\b(?:sees|asks|tries|tests|compares|says|reads|shows) whether\b`),
		but:     phrase(`(?i)(?:says|shows) whether`),
		advice:  "checks whether",
	},
	{refuses: phrase(`(?i)\bbelieved\b`), advice: "trusted, cached, valid"},
	{refuses: phrase(`(?i)\b(?:is|are|was|were) (?:not )?(?:ill|away)\b`), advice: "unhealthy, unavailable, down"},
	{refuses: phrase(`(?i)\b(?:is|are|all is) well(?:[.,;:)]|$)`), advice: "healthy"},

	// Words that have left the language of the field.
	{refuses: phrase(`(?i)\banew\b`), advice: "again, a new, re-create, restart"},
	{
		refuses: phrase(`(?i)\b(?:wherein|whereof|whereupon|therein|thereof|thereupon|hitherto|henceforth)\b`),
		advice:  "say it plainly",
	},
	{refuses: phrase(`(?i)\b(?:mend|mends|mended|mending)\b`), advice: "fix, repair"},
	{refuses: phrase(`(?i)\bneither\b[^.]*\beither\b|\bneither(?:[.,;]|$)`), advice: "neither … nor, or: also not"},
	{
		refuses: phrase(`(?i)\b(?:have|had|having|has|get|gets) (?:it |them )?back(?:[.,;:)]|$)`),
		advice:  "recover, restore",
	},
	{
		refuses: phrase(`(?i)\b(?:comes?|came|becomes?|became) of (?:it|that|the|an?|this|them|what|all)\b`),
		advice:  "happens to, results from",
	},
	{
		refuses: phrase(`(?i)\b(?:go|goes|went|gone|going) on (?:by|from|with|to|as|where|without)\b`),
		advice:  "continue, resume",
	},
	{refuses: phrase(`(?i)\b(?:gets on|(?:does|did|do|can|could)(?: not|n't|not) get on)\b`), advice: "progress"},
	{
		refuses: phrase(`(?i)\b(?:is|are|was|were|be) so(?:[.,;:)]|$)`),
		but:     phrase(`(?i)so,$`),
		advice:  "repeat the verb or the adjective",
	},
	{refuses: phrase(`(?i)\bby now\b`), advice: "now, already, or nothing"},
	{refuses: phrase(`(?i)\bbesides[.;]`), advice: "too, also"},
	{
		refuses: phrase(`(?i)\b(?:there is|there are|is|are) none (?:other|that|which|of whom)\b`),
		advice:  "say it plainly",
	},
}
