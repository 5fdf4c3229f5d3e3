package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds on the parameters of stored hashes. A row beyond them was not written by us, and executing it would be a way
// to exhaust memory from a table (PWD-08).
const (
	maxMemory  = 256 * 1024 // KiB
	maxPasses  = 10
	maxLanes   = 4
	minSalt    = 8
	maxSalt    = 64
	minKey     = 16
	maxKey     = 64
	minBcrypt  = 4
	maxBcrypt  = 14
	maxPHCText = 512
)

// ErrStoredParameters means that a stored hash is not one that may be executed.
var ErrStoredParameters = errors.New("stored hash has parameters that are not allowed")

// phc is an argon2id hash with its parameters.
type phc struct {
	memory, passes uint32
	lanes          uint8
	salt, key      []byte
}

var b64 = base64.RawStdEncoding.Strict()

// parsePHC reads `$argon2id$v=19$m=19456,t=2,p=1$SALT$KEY` and nothing that only resembles it.
func parsePHC(s string) (h phc, err error) {
	if len(s) > maxPHCText {
		return h, ErrStoredParameters
	}
	part := strings.Split(s, "$")
	if len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v=19" {
		return h, ErrStoredParameters
	}
	param := strings.Split(part[3], ",")
	if len(param) != 3 {
		return h, ErrStoredParameters
	}
	var n [3]uint32
	for i, key := range []string{"m=", "t=", "p="} {
		text, ok := strings.CutPrefix(param[i], key)
		v, err := strconv.ParseUint(text, 10, 32)
		if !ok || err != nil || strconv.FormatUint(v, 10) != text {
			return h, ErrStoredParameters
		}
		n[i] = uint32(v)
	}
	h.memory, h.passes, h.lanes = n[0], n[1], uint8(min(n[2], 255))
	if n[2] < 1 || n[2] > maxLanes || h.passes < 1 || h.passes > maxPasses || h.memory < 8*n[2] || h.memory > maxMemory {
		return h, ErrStoredParameters
	}
	if h.salt, err = b64.DecodeString(part[4]); err != nil || len(h.salt) < minSalt || len(h.salt) > maxSalt {
		return h, ErrStoredParameters
	}
	if h.key, err = b64.DecodeString(part[5]); err != nil || len(h.key) < minKey || len(h.key) > maxKey {
		return h, ErrStoredParameters
	}
	if h.String() != s { // the decoder skips line ends
		return h, ErrStoredParameters
	}
	return h, nil
}

func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", h.memory, h.passes, h.lanes, b64.EncodeToString(h.salt), b64.EncodeToString(h.key))
}

// bcryptCost reads the cost of a bcrypt hash of the kinds that exist.
func bcryptCost(s string) (int, error) {
	if len(s) != 60 || s[0] != '$' || s[1] != '2' || !strings.ContainsRune("aby", rune(s[2])) || s[3] != '$' || s[6] != '$' {
		return 0, ErrStoredParameters
	}
	cost, err := strconv.ParseUint(s[4:6], 10, 8) // no sign
	if err != nil || cost < minBcrypt || cost > maxBcrypt {
		return 0, ErrStoredParameters
	}
	return int(cost), nil
}
