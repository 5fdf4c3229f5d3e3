package factor

import (
	"encoding/base32"
	"encoding/json"
	"strings"
)

// Adopt makes the state of an authenticator app out of a seed that another program has drawn, so that people go on with
// the app they have. It is false for what is no seed: a word that stands for one, or too few bits (legacy.md).
func Adopt(seedText string) (state []byte, ok bool) {
	text := strings.TrimRight(strings.ToUpper(strings.ReplaceAll(seedText, " ", "")), "=")
	raw, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(raw) < leastBytes {
		return nil, false
	}
	state, err = json.Marshal(seed{Secret: base32.StdEncoding.EncodeToString(raw)})
	return state, err == nil
}
