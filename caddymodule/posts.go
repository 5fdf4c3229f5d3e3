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

	mu  sync.Mutex
	all []*post
}

var errNoMail = errors.New("no mail provider is configured; write `mail { … }` into the global options")

func (p *posts) add(one *post) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if one != nil {
		p.all = append(p.all, one)
	}
}

func (p *posts) remove(one *post) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all = slices.DeleteFunc(p.all, func(other *post) bool { return other == one })
}

func (p *posts) newest() *post {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.all) == 0 {
		return nil
	}
	return p.all[len(p.all)-1]
}

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

// From is a tenant's sender, and where answers go.
func (p *posts) From(n *portal.Tenant) (sender, replyTo mail.Address) {
	if now := p.newest(); now != nil {
		return now.From(n)
	}
	return mail.Address{}, mail.Address{}
}

// Pace is how many mails a minute leave for one domain; 0: as many as there are.
func (p *posts) Pace() int {
	if now := p.newest(); now != nil {
		return now.pace
	}
	return 0
}

var _ mail.Sender = (*posts)(nil)
