package factor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
	"github.com/portalgate/portalgate/internal/secret"
)

// The form of backup codes: 15 letters of 32, which is 75 bits, shown as 7K3M9-QXD2H-TVW4B (BKP-01 asks for 64).
const (
	backupCodes = 8
	backupParts = 3
	backupPart  = 5
	crockford   = "0123456789ABCDEFGHJKMNPQRSTVWXYZ" // no I, L, O, U
)

// Backup is the sheet of codes for the day on which nothing else is at hand. Nothing is typed to set it up, and it is
// nobody's only factor.
type Backup struct{ Vault Vault }

// codebook is the state: what is left of a sheet. The codes themselves are nowhere but on paper.
type codebook struct {
	Set  []byte     `json:"set"`
	Left []codeHash `json:"left"`
	Used []codeHash `json:"used,omitempty"` // that whoever types one again is told so
}

type codeHash struct {
	Mac []byte `json:"mac"`
	Key string `json:"key"`
}

// Kind is what it is stored as.
func (Backup) Kind() portal.FactorKind { return portal.FactorBackup }

// Traits are what flows must know of it. Its codes are too long to be guessed; they are guarded like those that are not,
// so that no second count stands beside the first (BKP-03).
func (Backup) Traits() Traits {
	return Traits{AMR: portal.AMRBackup, Title: "Backup codes", Hint: "Look for the codes that you have printed or saved.", Strength: 10,
		Assures: true, Guessable: true, Along: true, Added: "codes_made"}
}

// place is where its codes' hashes are good: one sheet of codes. It does not name the person, whose factors guard every
// row of theirs; a sheet that is moved to somebody else's does not open (TOTP-06).
func (b codebook) place(s Scene) string {
	return join(string(s.Tenant), string(portal.FactorBackup), string(b.Set))
}

// Setup draws new codes, whatever was drawn before: codes are shown once.
func (b Backup) Setup(_ context.Context, s Scene, _ []Held, _ []byte) (Challenge, error) {
	book, show := codebook{Set: secret.Bytes(16)}, make([]string, 0, backupCodes)
	for range backupCodes {
		code := secret.Draw(backupParts*backupPart, crockford)
		mac, key, err := b.Vault.Mac("", book.place(s), code)
		if err != nil {
			return Challenge{}, fmt.Errorf("drawing backup codes: %w", err)
		}
		book.Left = append(book.Left, codeHash{mac, key})
		var parts []string
		for i := 0; i < len(code); i += backupPart {
			parts = append(parts, code[i:i+backupPart])
		}
		show = append(show, strings.Join(parts, "-"))
	}
	state, err := json.Marshal(book)
	if err != nil {
		return Challenge{}, fmt.Errorf("keeping backup codes: %w", err)
	}
	return Challenge{State: state, Tries: 1, Life: time.Hour, Show: show}, nil
}

// Confirm makes the codes count. There is nothing to check: whoever stands here has shown another factor.
func (Backup) Confirm(_ context.Context, _ Scene, state []byte, _ string) (Enrolled, error) {
	var book codebook
	if err := read(state, &book); err != nil {
		return Enrolled{}, err
	}
	if len(book.Left) == 0 {
		return Enrolled{}, errors.New("a sheet of backup codes is empty")
	}
	return Enrolled{State: state, Name: Backup{}.Traits().Title, Facts: book.facts()}, nil
}

// Ask shows nothing: a field is enough.
func (Backup) Ask(context.Context, Scene, []Held, []byte) (Challenge, error) {
	return Challenge{Tries: 5, Life: 10 * time.Minute}, nil
}

// Check strikes a code off the sheet.
func (b Backup) Check(_ context.Context, s Scene, have []Held, _ []byte, answer string) (Checked, error) {
	code, err := readBackup(answer)
	if err != nil {
		return Checked{}, err
	}
	for _, h := range have {
		var book codebook
		if err := read(h.State, &book); err != nil {
			return Checked{}, err
		}
		macs, found := map[string][]byte{}, -1
		for i, left := range slices.Concat(book.Left, book.Used) {
			if macs[left.Key] == nil {
				if macs[left.Key], _, err = b.Vault.Mac(left.Key, book.place(s), code); err != nil {
					return Checked{}, fmt.Errorf("checking a backup code: %w", err)
				}
			}
			if secret.Equal(macs[left.Key], left.Mac) {
				found = i // the others are looked at all the same
			}
		}
		if found < 0 {
			continue
		}
		if found >= len(book.Left) {
			return Checked{}, ErrUsed
		}
		book.Used = append(book.Used, book.Left[found])
		book.Left = slices.Delete(book.Left, found, found+1)
		state, err := json.Marshal(book)
		if err != nil {
			return Checked{}, fmt.Errorf("keeping backup codes: %w", err)
		}
		return Checked{ID: h.ID, State: state, Facts: book.facts()}, nil
	}
	return Checked{}, ErrWrong
}

func (b codebook) facts() map[string]string {
	return map[string]string{"left": fmt.Sprint(len(b.Left))}
}

// readBackup reads a code as somebody typed it: with or without dashes, in any case, and with the letters that look like
// digits (ux 30).
func readBackup(answer string) (string, error) {
	if len(answer) > longest {
		return "", ErrInput
	}
	code := strings.NewReplacer("O", "0", "I", "1", "L", "1").Replace(fold(answer))
	if len(code) != backupParts*backupPart || strings.Trim(code, crockford) != "" {
		return "", ErrInput
	}
	return code, nil
}
