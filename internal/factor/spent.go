package factor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/secret"
)

// spent are the questions of a factor that were answered rightly. Its state remembers them for as long as they could be
// answered again, because nothing else in it may change with an answer: a passkey that is synced counts nothing, and a
// mailed code is not the factor's.
type spent []spentOne

type spentOne struct {
	ID    []byte    `json:"id"`
	Until time.Time `json:"until"`
}

func (s spent) has(id []byte) bool {
	return slices.ContainsFunc(s, func(o spentOne) bool { return secret.Equal(o.ID, id) })
}

// add adds a question, and forgets those that are too old to be answered.
func (s spent) add(id []byte, until, now time.Time) spent {
	var out spent
	for _, o := range s {
		if now.Before(o.Until) {
			out = append(out, o)
		}
	}
	return append(out, spentOne{id, until})
}

// read reads a state of ours. It stood sealed, so one that cannot be read is nobody's guess.
func read(state []byte, into any) error {
	if err := json.Unmarshal(state, into); err != nil {
		return fmt.Errorf("reading the state of a second step: %w", err)
	}
	return nil
}

// join names a place by its parts, none of which can run over into the next.
func join(parts ...string) string {
	var b strings.Builder
	for _, p := range parts {
		fmt.Fprintf(&b, "%d:%s,", len(p), p)
	}
	return b.String()
}
