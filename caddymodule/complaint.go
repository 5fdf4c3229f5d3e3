package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/portalgate/portalgate/internal/store"
)

// complaint is what is wrong with an option, where it stands, and what to do.
type complaint struct{ place, option, problem string }

// Error reads like a compiler's line.
func (c *complaint) Error() string {
	s := c.option + ": " + c.problem
	if c.place != "" {
		s = c.place + ": " + s
	}
	return s
}

// bad is a complaint about an option.
func bad(option, format string, args ...any) error {
	return &complaint{option: option, problem: fmt.Sprintf(format, args...)}
}

// complaints are everything that is wrong with a module, in one error, a line each.
type complaints []error

// Error lists them.
func (all complaints) Error() string {
	if len(all) == 1 {
		return "portalgate: " + all[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "portalgate: %d things to mend:", len(all))
	for _, err := range all {
		b.WriteString("\n  " + strings.ReplaceAll(err.Error(), "\n", "\n    "))
	}
	return b.String()
}

// Unwrap shows each to errors.Is and errors.As.
func (all complaints) Unwrap() []error { return all }

// add takes an error, or several that are joined; nil is none.
func (all *complaints) add(err error) {
	var more complaints
	switch {
	case err == nil:
	case errors.As(err, &more):
		*all = append(*all, more...)
	default:
		*all = append(*all, err)
	}
}

// err is nil when there is nothing to mend.
func (all complaints) err() error {
	if len(all) == 0 {
		return nil
	}
	return all
}

// places say where in the Caddyfile each option stands, as file:line.
type places map[string]string

// of is the place of an option, or of the nearest block that it would stand in. An option that may stand in several
// blocks is named by itself.
func (p places) of(option string) string {
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if strings.HasSuffix(name, " "+option) {
			return p[name]
		}
	}
	for {
		if place := p[option]; place != "" {
			return place
		}
		cut := strings.LastIndexByte(option, ' ')
		if cut < 0 {
			return p[""]
		}
		option = option[:cut]
	}
}

// at gives a complaint its place, and every one of several theirs.
func (p places) at(err error) error {
	var all complaints
	if errors.As(err, &all) {
		for _, one := range all {
			_ = p.at(one)
		}
		return err
	}
	var c *complaint
	if errors.As(err, &c) && c.place == "" {
		c.place = p.of(c.option)
	}
	return err
}

// unfit turns what a database complains about into complaints about an option, one each. A database that does not
// answer has not complained.
func unfit(option string, err error) error {
	var all complaints
	switch {
	case errors.Is(err, store.ErrRefused):
		all.add(bad(option, "%v", connecting(err)))
		return all
	case errors.Is(err, store.ErrUnavailable):
		return err
	}
	list := []error{err}
	if several, ok := err.(interface{ Unwrap() []error }); ok {
		list = several.Unwrap()
	}
	for _, one := range list {
		var u *store.Unfit
		if errors.As(one, &u) {
			all.add(bad(option, "%s; %s", u.Problem, u.Fix))
		} else {
			all.add(bad(option, "%v", one))
		}
	}
	return all
}
