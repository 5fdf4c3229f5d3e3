package mail

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

// textKind is the only letter that is printed as a text message. Its words are the section of its name.
var textKind = kindRule{portal.LetterTextCode, false, "by text message: a code for the browser that asked"}

// TextKinds are the letters that PrintText prints.
func TextKinds() []Kind { return []Kind{{textKind.kind, textKind.says}} }

// Language is the tag of the language in which a message is written for somebody who wants these, in their order.
func (p *Press) Language(wanted ...string) string { return p.choose(wanted...).code }

// The longest name of a tenant in a text message: with it the message fits into one of 160 characters in most languages.
const longestTextPortal = 30

// PrintText makes the text message of a note whose kind is LetterTextCode. Its recipient is not looked at: it is a
// telephone number, and nothing that is printed. How long the code holds is said to the nearest minute, because a code
// always leaves a moment after it was made. No error holds a code.
//
// The last line names the host and the code once more, in the form of origin-bound one-time codes: telephones then offer
// the code on pages of that host and on no other, so that a page that only looks like ours gets none.
func (p *Press) PrintText(n Note) (string, error) {
	switch {
	case n.Kind != textKind.kind:
		return "", fmt.Errorf("%q is no text message", n.Kind)
	case !codeForm.MatchString(n.Code) || n.Valid <= 0:
		return "", errors.New("printing a text message: it has no code, or does not say how long it holds")
	}
	if err := n.place(); err != nil {
		return "", fmt.Errorf("printing a text message: %w", err)
	}
	c := p.choose(n.Language, n.Tenant.Language)
	_, host, _ := strings.Cut(n.Origin, "://")
	name := label(n.Tenant.Name, longestTextPortal)
	if name == "" {
		name = host
	}
	says := c.first(string(n.Kind), "text", map[string]string{"code": n.Code, "portal": name, "valid": c.lasting(n.Valid.Round(time.Minute))}).String()
	if strings.HasPrefix(n.Origin, "https://") && !strings.Contains(host, ":") { // the form has no place for anything else
		says += "\n\n@" + host + " #" + n.Code
	}
	return says, nil
}
