package config

import (
	"sort"
	"strings"
)

// Near returns up to three of the known words that a person may have meant by
// the word, nearest first: those that differ in case only, and those a few
// letters away. It returns nil when none is near.
func Near(word string, known []string) []string {
	type candidate struct {
		word     string
		distance int
	}
	if len(word) > 200 {
		return nil
	}
	lower := strings.ToLower(word)
	most := 1 + len(word)/4
	var found []candidate
	for _, k := range known {
		if d := distance(lower, strings.ToLower(k), most); d <= most {
			found = append(found, candidate{k, d})
		}
	}
	sort.SliceStable(found, func(i, j int) bool { return found[i].distance < found[j].distance })
	var words []string
	for _, f := range found {
		if len(words) < 3 {
			words = append(words, f.word)
		}
	}
	return words
}

// DidYouMean is a sentence that names the near words, beginning with a blank;
// empty when none is near.
func DidYouMean(word string, known []string) string {
	near := Near(word, known)
	if len(near) == 0 {
		return ""
	}
	return " Did you mean " + strings.Join(near, " or ") + "?"
}

// distance counts the insertions, deletions, replacements and swaps of
// neighbours between a and b; it gives up beyond most.
func distance(a, b string, most int) int {
	if len(a)-len(b) > most || len(b)-len(a) > most {
		return most + 1
	}
	before, row, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next[j+1] = min(row[j]+cost, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}
