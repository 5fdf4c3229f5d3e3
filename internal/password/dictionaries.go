package password

import (
	"encoding/json"
	"fmt"
	"sync"
	"time"
	_ "unsafe" // for go:linkname

	"github.com/ccojocar/zxcvbn-go/adjacency"
	"github.com/ccojocar/zxcvbn-go/data"
	"github.com/ccojocar/zxcvbn-go/frequency"
	"github.com/ccojocar/zxcvbn-go/match"
	"github.com/ccojocar/zxcvbn-go/matching"
)

// What zxcvbn knows by heart: 85,000 words that it reads when a program starts, and holds for good. They are most of what
// lives on a gateway's heap, so that each of the collector's rounds, and with them the slowest answers, would be for a
// deed that somebody does once a year. They are let go, and read when a password is measured. A release that names
// these otherwise does not link.

//go:linkname matchers github.com/ccojocar/zxcvbn-go/matching.matchers
var matchers []match.Matcher

//go:linkname dictionaryMatchers github.com/ccojocar/zxcvbn-go/matching.dictionaryMatchers
var dictionaryMatchers []match.Matcher

//go:linkname adjacencyGraphs github.com/ccojocar/zxcvbn-go/matching.adjacencyGraphs
var adjacencyGraphs []adjacency.Graph

// keep is how long the words stay after a password was measured; people try a few in a row.
const keep = time.Minute

var lists = [...]string{"MaleNames", "FemaleNames", "Surnames", "English", "Passwords"}

// dictionaries says whether the words are there. Who measures holds it for reading.
var dictionaries struct {
	sync.RWMutex
	loaded bool
	end    *time.Timer
}

func init() { forget() }

// forget lets the words go.
func forget() {
	dictionaries.Lock()
	defer dictionaries.Unlock()
	matchers, dictionaryMatchers, adjacencyGraphs, frequency.Lists = nil, nil, nil, nil
	dictionaries.loaded = false
}

// withDictionaries does something while the words are there.
func withDictionaries(measure func()) {
	dictionaries.RLock()
	for !dictionaries.loaded {
		dictionaries.RUnlock()
		learn()
		dictionaries.RLock()
	}
	defer dictionaries.RUnlock()
	measure()
	dictionaries.end.Reset(keep)
}

// learn reads the words, some 30 ms of work.
func learn() {
	dictionaries.Lock()
	defer dictionaries.Unlock()
	if dictionaries.loaded {
		return
	}
	all := map[string]frequency.List{}
	for _, name := range lists {
		var l frequency.List
		if err := json.Unmarshal(data.MustAsset("data/"+name+".json"), &l); err != nil {
			panic(fmt.Sprintf("zxcvbn's %s: %v", name, err)) // built in
		}
		all[name] = l
	}
	frequency.Lists = all
	matching.Omnimatch("", nil) // makes what is nil
	frequency.Lists = nil
	dictionaries.loaded = true
	if dictionaries.end == nil {
		dictionaries.end = time.AfterFunc(keep, forget)
	}
}
