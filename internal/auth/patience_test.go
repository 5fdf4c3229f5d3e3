package auth

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestARequestsPatienceStandsStillWhileAPasswordIsChecked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, done := Patient(t.Context())
		defer done()
		time.Sleep(Patience - 500*time.Millisecond)
		again := still(ctx)
		time.Sleep(time.Hour)
		if nested := still(ctx); ctx.Err() != nil {
			t.Fatalf("it ended while a password was checked: %v", context.Cause(ctx))
		} else {
			nested()
		}
		time.Sleep(time.Hour)
		again()
		time.Sleep(400 * time.Millisecond)
		synctest.Wait()
		if ctx.Err() != nil {
			t.Fatal("it ended before its time")
		}
		if end, ok := ctx.Deadline(); !ok || time.Until(end) != 100*time.Millisecond {
			t.Errorf("%s are left", time.Until(end))
		}
		derived, cancel := context.WithTimeout(ctx, time.Hour)
		defer cancel()
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
		if !errors.Is(context.Cause(ctx), errPatience) || derived.Err() == nil {
			t.Errorf("it goes on: %v, %v", context.Cause(ctx), derived.Err())
		}
		if Unhurried(ctx).Err() != nil {
			t.Error("the request itself has ended")
		}
		still(ctx)() // of no use, and no harm
		if ctx.Err() == nil {
			t.Error("it lives again")
		}
	})
}

func TestARequestsPatienceEndsWithTheRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		asked, gone := context.WithCancel(t.Context())
		ctx, done := Patient(asked)
		defer done()
		gone()
		synctest.Wait()
		if ctx.Err() == nil || errors.Is(context.Cause(ctx), errPatience) {
			t.Errorf("the browser has gone, and it says %v", context.Cause(ctx))
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		ctx, done = Patient(short)
		defer done()
		if end, _ := ctx.Deadline(); time.Until(end) != time.Second {
			t.Errorf("it ends in %s", time.Until(end))
		}
	})
}
