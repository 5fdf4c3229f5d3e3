// Package web owns the files that browsers are given: templates, one stylesheet, two scripts. It holds nothing else and
// refuses to do anything with them; whoever renders and serves them is a floor above. It has no neighbour.
package web

import "embed"

// Files are the embedded files.
//
//go:embed pages/*.html static/*
var Files embed.FS
