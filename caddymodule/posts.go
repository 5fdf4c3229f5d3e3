package caddymodule

import (
	"context"
	"errors"
	"slices"
	"sync"

	"github.com/portalgate/portalgate/internal/mail"
	"github.com/portalgate/portalgate/internal/portal"
)

// posts are how mail leaves in the configurations that share a world. Providers belong to their configuration and end
// with it, while the world goes on: mail always leaves by the newest one that runs.
type posts struct {
	builtIn *mail.Press // what mails say where the configuration has no templates of its own

	running[post]
}

// running are a thing of the configurations that run, the newest last.
type running[T any] struct {
	mu  sync.Mutex
	all []*T
}

func (r *running[T]) add(one *T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if one != nil {
		r.all = append(r.all, one)
	}
}

func (r *running[T]) remove(one *T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = slices.DeleteFunc(r.all, func(other *T) bool { return other == one })
}

func (r *running[T]) newest() *T {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		return nil
	}
	return r.all[len(r.all)-1]
}

var errNoMail = errors.New("no mail provider is configured; write `mail { … }` into the global options")

// Send hands one mail to the newest configuration's provider. Without one it waits: the error is not for good.
func (p *posts) Send(ctx context.Context, m mail.Message) error {
	if now := p.newest(); now != nil {
		return now.Send(ctx, m)
	}
	return errNoMail
}

// Print says what a mail says, in the newest configuration's words.
func (p *posts) Print(n mail.Note) (mail.Message, error) {
	if now := p.newest(); now != nil && now.press != nil {
		return now.press.Print(n)
	}
	return p.builtIn.Print(n)
}

// PrintText says what a text message says, likewise.
func (p *posts) PrintText(n mail.Note) (string, error) {
	if now := p.newest(); now != nil && now.press != nil {
		return now.press.PrintText(n)
	}
	return p.builtIn.PrintText(n)
}

// From is a tenant's sender, and where answers go.
func (p *posts) From(n *portal.Tenant) (sender, replyTo mail.Address) {
	if now := p.newest(); now != nil {
		return now.From(n)
	}
	return mail.Address{}, mail.Address{}
}

var _ mail.Sender = (*posts)(nil)
