// Package web owns the files that people are given: templates and one stylesheet and four scripts for browsers, the layouts
// and the words of mails. It holds nothing else and refuses to do anything with them; whoever renders and serves them is
// a floor above. It has no neighbour.
package web

import "embed"

// Files are the embedded files.
//
//go:embed pages/*.html static/* mail/*
var Files embed.FS
