package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// loadGuest loads the guest of a struct's field Sender; nil: there is none, or something is wrong. What it complains about
// is placed below where it stands.
func loadGuest(ctx caddy.Context, holder any, raw json.RawMessage, at string, literals bool, wrong *complaints) any {
	if raw == nil {
		return nil
	}
	if !literals {
		writtenOut(raw, at, wrong)
	}
	guest, err := ctx.LoadModule(holder, "Sender")
	if err != nil {
		wrong.add(bad(at, "%v", err))
		return nil
	}
	if j, ours := guest.(interface{ judgement() complaints }); ours {
		for _, one := range j.judgement() {
			var c *complaint
			if errors.As(one, &c) {
				c.option = at + " " + c.option
			}
			wrong.add(one)
		}
		if j.judgement() != nil {
			return nil
		}
	}
	return guest
}

// misgivings are what a guest complains about, kept until it is asked: Caddy makes one text of a Provision's error, in which an
// option cannot be given its place.
type misgivings struct{ wrong complaints }

func (j *misgivings) pass(wrong complaints) error {
	j.wrong = wrong
	return nil
}

func (j *misgivings) judgement() complaints { return j.wrong }

// writtenOut complains about secrets that stand in a guest's configuration themselves, at any depth and in guests of
// other people too.
func writtenOut(raw json.RawMessage, at string, wrong *complaints) {
	var list []json.RawMessage
	if json.Unmarshal(raw, &list) == nil {
		for _, one := range list {
			writtenOut(one, at, wrong)
		}
		return
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(raw, &fields) != nil {
		return
	}
	var provider string
	if json.Unmarshal(fields["provider"], &provider) == nil {
		at += " " + provider
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		var text string
		switch secret := strings.Contains(name, "password") || strings.Contains(name, "secret") || strings.Contains(name, "token") || strings.HasSuffix(name, "key"); {
		case json.Unmarshal(fields[name], &text) != nil:
			writtenOut(fields[name], at, wrong)
		case secret && literal(text):
			wrong.add(bad(at+" "+name, "is written out, which the admin API and Caddy's autosave file would show ({$VAR} too: it is replaced before); use {file.…} or {env.…}, or `literal_secrets allow` for a trial"))
		}
	}
}

// provider reads a provider's segment, and notes the places of what is in it. what it provides is for complaints.
func provider(d *caddyfile.Dispenser, namespace, what, name string, at noting) (json.RawMessage, error) {
	m, err := caddy.GetModule(namespace + "." + name)
	if err != nil {
		return nil, d.Errf("there is no %s provider %q", what, name)
	}
	guest, ok := m.New().(caddyfile.Unmarshaler)
	if !ok {
		return nil, d.Errf("the %s provider %q can be configured in JSON only", what, name)
	}
	tokens := d.NextSegment()
	if at.places == nil {
		at.places = new(map[string]string) // inside another provider, whose segment has been walked
		*at.places = places{}
	}
	var open []string
	below, line := at.parent, -1
	for _, t := range tokens { // where each option of the guest stands, whosever it is
		switch first := t.Line != line; {
		case t.Text == "{":
			open = append(open, below)
		case t.Text == "}" && len(open) > 0:
			open = open[:len(open)-1]
		case first:
			within := at.parent
			if len(open) > 0 {
				within = open[len(open)-1]
			}
			below = within + " " + t.Text
			if _, known := (*at.places)[below]; !known {
				(*at.places)[below] = fmt.Sprintf("%s:%d", t.File, t.Line)
			}
		}
		line = t.Line
	}
	if err := guest.UnmarshalCaddyfile(caddyfile.NewDispenser(tokens)); err != nil {
		return nil, err
	}
	return caddyconfig.JSONModuleObject(guest, "provider", name, nil), nil
}
