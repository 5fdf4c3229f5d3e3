// Package graphql owns what a portal's GraphQL endpoint may be asked through the gate: it reads each document itself,
// judges every field that an operation of it begins with, and replaces the request by what it has read. Not one byte of a
// client's body or query goes on, so that nothing is understood differently behind the gate than in it.
//
// It refuses whatever it would have to guess at: lists of operations, compressed bodies, charsets, forms, keys that come
// twice, documents known by a hash alone, changes by GET, and documents that are too deep or too long. It refuses
// introspection, and the operations by which the old portal signed people in, whatever the configuration allows: who
// reached those could test passwords where no limit counts. Each refusal is a portal.Problem.
//
// It has no neighbour: it asks no server and keeps nothing. When a body does not arrive in time it is refused, and when
// the upstream fails after that, reverse_proxy says so.
//
// # Why the document is printed anew
//
// Two lexers need to disagree only about where a comment ends for one of them to see a field that the other does not.
// What is printed here has no comments, no commas, no block strings and one kind of space.
package graphql

import (
	"fmt"
	"net/http"

	"github.com/portalgate/portalgate/internal/portal"
)

// Gate is what one gate lets pass.
type Gate struct {
	Allow Names // nothing named: every operation, but for introspection and those of the old sign-in
}

// Admit reads a request of somebody signed in, judges it, and makes it say what was judged and nothing else. pages is
// where the portal's own pages are, as in https://acme.portal.example/auth.
func (g *Gate) Admit(w http.ResponseWriter, r *http.Request, pages string) error {
	q, err := read(w, r, ofPeople)
	if err != nil {
		return err
	}
	d, err := parse(q)
	if err != nil {
		return err
	}
	if err := d.moved(pages); err != nil {
		return err
	}
	if err := d.introspects(); err != nil {
		return err
	}
	if err := g.Allow.admit(d); err != nil {
		return err
	}
	if d.changes() && r.Method != http.MethodPost {
		// A GET is not asked where it comes from, and browsers send the session with one that another site opens.
		return refuse(portal.ProblemMethod, "Changes are sent by POST.")
	}
	q.document = d.print()
	q.replace(r)
	return nil
}

// Moved is the answer to somebody who is not signed in, or not any more, and asks for an operation of the old portal's
// sign-in; nil for everything else. The old browser code asks so before anybody has signed in, and stops for good when it
// is told UNAUTHENTICATED.
func Moved(w http.ResponseWriter, r *http.Request, pages string) error {
	q, err := read(w, r, ofStrangers)
	if err != nil {
		return nil // what cannot be read is answered like everything else without a session
	}
	d, err := parse(q)
	if err != nil {
		return nil
	}
	return d.moved(pages)
}

func refuse(kind portal.ProblemKind, format string, args ...any) error {
	return &portal.Problem{Kind: kind, Public: fmt.Sprintf(format, args...)}
}
