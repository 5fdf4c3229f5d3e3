package secret

import "crypto/sha256"

// Bound is what a question is bound to that was put to somebody signed in: a digest of the session, so that the table of
// questions is no list of sessions.
func Bound(session string) Digest {
	return sha256.Sum256([]byte("portalgate holder\x00" + session))
}
