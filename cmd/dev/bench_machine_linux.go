package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// cores are the two that a bench uses: everything that is measured shares one, the load and the upstream the other.
func cores() (measured, load int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return 0, 0, fmt.Errorf("asking which cores there are: %w", err)
	}
	var free []int
	for i := range 1024 {
		if set.IsSet(i) {
			free = append(free, i)
		}
	}
	if len(free) < 2 {
		return 0, 0, errors.New("there is one core only, and a bench needs two: one for what is measured, one for the load")
	}
	measured, load = free[0], free[1]
	// Two threads of one core slow each other down; another core is better where there is one.
	twins, _ := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", measured)) // absent: take the next
	for _, c := range free[1:] {
		if !listed(strings.TrimSpace(string(twins)), c) {
			return measured, c, nil
		}
	}
	return measured, load, nil
}

// listed says whether a list of cores such as "0,4-6" has one.
func listed(list string, core int) bool {
	for part := range strings.SplitSeq(list, ",") {
		from, to, ranged := strings.Cut(part, "-")
		if !ranged {
			to = from
		}
		a, err1 := strconv.Atoi(from)
		b, err2 := strconv.Atoi(to)
		if err1 == nil && err2 == nil && core >= a && core <= b {
			return true
		}
	}
	return false
}

// pin moves every thread of a process, and of its children, to a core. What they start later stays there.
func pin(pid, core int) error {
	var set unix.CPUSet
	set.Set(core)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	if err != nil || len(tasks) == 0 {
		return fmt.Errorf("process %d is gone", pid)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			return fmt.Errorf("reading %s: %w", task, err)
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("moving process %d to core %d: %w", pid, core, err)
		}
		children, err := os.ReadFile(filepath.Join(task, "children"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("listing the children of process %d: %w", pid, err)
		}
		for _, child := range strings.Fields(string(children)) {
			if id, err := strconv.Atoi(child); err == nil {
				_ = pin(id, core) // it may have ended meanwhile
			}
		}
	}
	return nil
}

// pinSelf moves this program to a core until undo is called.
func pinSelf(core int) (undo func(), err error) {
	var before unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return nil, fmt.Errorf("asking for our cores: %w", err)
	}
	procs := runtime.GOMAXPROCS(1)
	undo = func() {
		runtime.GOMAXPROCS(procs)
		tasks, _ := filepath.Glob("/proc/self/task/*") // the pattern is right
		for _, task := range tasks {
			if tid, err := strconv.Atoi(filepath.Base(task)); err == nil {
				_ = unix.SchedSetaffinity(tid, &before) // a thread that has ended needs no core
			}
		}
	}
	var set unix.CPUSet
	set.Set(core)
	tasks, err := filepath.Glob("/proc/self/task/*")
	if err != nil {
		return nil, err
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(filepath.Base(task))
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			undo()
			return nil, fmt.Errorf("moving the load to core %d: %w", core, err)
		}
	}
	return undo, nil
}

// launch starts a program on a core; it counts that core as all there are, as it would in a container of one. It is
// killed when we are. ended gets its exit once.
func launch(cmd *exec.Cmd, core int) (ended chan error, err error) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	started, ended := make(chan error), make(chan error, 1)
	go func() {
		// A child has the cores of the thread that starts it, and dies with that thread: this one is never used again.
		runtime.LockOSThread()
		var set unix.CPUSet
		set.Set(core)
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			started <- fmt.Errorf("choosing core %d: %w", core, err)
			return
		}
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		started <- nil
		ended <- cmd.Wait()
	}()
	return ended, <-started
}

// cpu is the time that all threads of a process have had, to the nanosecond.
func cpu(pid int) (time.Duration, error) {
	// The clock of another process: clock_getcpuclockid(3) computes this number.
	clock := int32(^pid<<3 | 2)
	var at unix.Timespec
	if err := unix.ClockGettime(clock, &at); err != nil {
		return 0, fmt.Errorf("reading the CPU time of process %d: %w", pid, err)
	}
	return time.Duration(at.Nano()), nil
}

// cpuBelow is the time that a process and those that it started have had; those that have ended are left out.
func cpuBelow(pid int) (time.Duration, error) {
	all, err := cpu(pid)
	if err != nil {
		return 0, err
	}
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	for _, list := range lists {
		children, _ := os.ReadFile(list) // a thread that has ended has none
		for _, child := range strings.Fields(string(children)) {
			id, err := strconv.Atoi(child)
			if err != nil {
				continue
			}
			if d, err := cpuBelow(id); err == nil { // it may have ended meanwhile
				all += d
			}
		}
	}
	return all, nil
}

// machine describes this one in a line.
func machine() string {
	model := "unknown processor"
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	load := ""
	if b, err := os.ReadFile("/proc/loadavg"); err == nil {
		if one, _, ok := strings.Cut(string(b), " "); ok {
			load = ", load " + one + " before"
		}
	}
	var name unix.Utsname
	kernel := ""
	if unix.Uname(&name) == nil {
		release := unix.ByteSliceToString(name.Release[:])
		release, _, _ = strings.Cut(release, "-")
		kernel = ", Linux " + release
	}
	return fmt.Sprintf("%s, %d cores%s, %s%s", model, runtime.NumCPU(), kernel, runtime.Version(), load)
}
