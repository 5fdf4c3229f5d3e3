package secret

import "io/fs"

// keepOwner has nothing to do: a file inherits its permissions from the directory.
func keepOwner(string, fs.FileInfo) error { return nil }
