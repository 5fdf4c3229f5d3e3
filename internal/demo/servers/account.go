//go:build unix

package servers

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"
)

// account is the user that a server runs as when we are root.
type account struct {
	name     string
	uid, gid uint32
}

// stepDown picks the user to run a server as: PostgreSQL refuses to run as root, and nothing else should either. Nil
// means ourselves.
func stepDown() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		if err1 != nil || err2 != nil || uid == 0 {
			continue
		}
		return &account{name: name, uid: uint32(uid), gid: uint32(gid)}, nil
	}
	return nil, errors.New("we run as root, and servers do not: neither user postgres nor user nobody exists to run them as; run this as an ordinary user")
}

// credential is what a child process needs in order to run as the account.
func (a *account) credential() *syscall.Credential {
	if a == nil {
		return nil
	}
	return &syscall.Credential{Uid: a.uid, Gid: a.gid}
}

// explain adds to an error what the machine will not say by itself.
func (a *account) explain(err error) error {
	if a != nil && errors.Is(err, syscall.EPERM) {
		return fmt.Errorf("%w: this container does not let root become user %s; run it with a USER of its own", err, a.name)
	}
	return err
}
