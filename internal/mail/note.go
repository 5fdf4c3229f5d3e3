package mail

import (
	"time"

	"github.com/portalgate/portalgate/internal/portal"
)

type Note struct {
	Kind     portal.LetterKind
	Language string
	Tenant   portal.Tenant
	Origin   string
	Name     string
	To       portal.Email
	Link     string
	NotMe    string
	Valid    time.Duration
	At       time.Time
	Zone     string
	Facts    map[string]string
	Code     string
}
