//go:build !linux

package main

import (
	"errors"
	"os/exec"
	"runtime"
	"time"
)

var errNotLinux = errors.New("a bench pins programs to cores and reads their CPU time, which it can do on Linux only")

func cores() (measured, load int, err error)    { return 0, 0, errNotLinux }
func pin(int, int) error                        { return errNotLinux }
func pinSelf(int) (func(), error)               { return nil, errNotLinux }
func launch(*exec.Cmd, int) (chan error, error) { return nil, errNotLinux }
func cpu(int) (time.Duration, error)            { return 0, errNotLinux }
func cpuBelow(int) (time.Duration, error)       { return 0, errNotLinux }
func machine() string                           { return runtime.GOOS + ", " + runtime.Version() }
