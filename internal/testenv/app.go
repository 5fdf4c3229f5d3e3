package testenv

import (
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

// AppCode is what an authenticator app shows at a moment, for a key as a page shows it.
func AppCode(t testing.TB, key string, at time.Time) string {
	t.Helper()
	code, err := totp.GenerateCode(strings.ReplaceAll(key, " ", ""), at)
	if err != nil {
		t.Fatal("reading the key of an authenticator app: ", err)
	}
	return code
}
