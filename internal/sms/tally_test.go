package sms_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/portalgate/portalgate/internal/sms"
)

type answers []error

func (a *answers) Send(context.Context, sms.Message) error {
	next := (*a)[0]
	*a = (*a)[1:]
	return next
}

func TestWhatBecomesOfMessagesIsCountedByProvider(t *testing.T) {
	t.Parallel()
	var tally sms.Tally
	down := errors.New("down")
	a := tally.Of("a", &answers{nil, down, fmt.Errorf("no: %w", sms.ErrRejected)})
	b := tally.Of("b", &answers{down})
	for range 3 {
		_ = a.Send(t.Context(), message())
	}
	_ = b.Send(t.Context(), message())
	got := tally.Counts()
	if len(got) != 2 || got[0].Provider != "a" || got[0].Sent != 1 || got[0].Deferred != 1 || got[0].Rejected != 1 || sms.Broken(got[0].Err) || got[1].Deferred != 1 || !sms.Broken(got[1].Err) {
		t.Errorf("%+v", got)
	}
}

func TestCaptureKeepsWhatCouldLeaveAndNothingElse(t *testing.T) {
	t.Parallel()
	kept := 0
	c := sms.Capture{Keep: func(context.Context, sms.Message) error { kept++; return nil }}
	if err := c.Send(t.Context(), message()); err != nil || kept != 1 {
		t.Errorf("%d, %v", kept, err)
	}
	m := message()
	m.To = "0151"
	if err := c.Send(t.Context(), m); !errors.Is(err, sms.ErrRejected) || kept != 1 {
		t.Errorf("%d, %v", kept, err)
	}
	c.Keep = func(context.Context, sms.Message) error { return errors.New("full") }
	if err := c.Send(t.Context(), message()); err == nil || errors.Is(err, sms.ErrRejected) {
		t.Errorf("%v", err)
	}
}
