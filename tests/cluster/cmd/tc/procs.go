package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// proc is one line of a process table: what runs, and how to start it again.
type proc struct {
	Name  string
	Args  []string // an applet of tc or a program, then its arguments
	Pid   int
	Start string // clock ticks since boot: tells it from a later process with the same pid
}

// table is a file of procs, one JSON document per line; of one name the last
// line counts. A cluster has two: `pids` for its components (for `real` as seen
// from inside the node) and `host` for what helps it from outside.
type table string

func (t table) load() (procs []proc) {
	b, _ := os.ReadFile(string(t))
	for line := range strings.Lines(string(b)) {
		var p proc
		check(json.Unmarshal([]byte(line), &p))
		for i := range procs {
			if procs[i].Name == p.Name {
				procs = append(procs[:i], procs[i+1:]...)
				break
			}
		}
		procs = append(procs, p)
	}
	return procs
}

func (t table) get(name string) proc {
	for _, p := range t.load() {
		if p.Name == name {
			return p
		}
	}
	check(fmt.Errorf("%s: no such component here", name))
	panic("unreachable")
}

// spawn starts a program in a session of its own, with a log of its own, and
// records it. What this process has open (locks, pipes of a test harness) is
// not passed on.
func (t table) spawn(name string, args []string, flags uintptr) proc {
	dir := filepath.Dir(string(t))
	log := must(os.OpenFile(filepath.Join(dir, "log", name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
	defer log.Close()
	for _, e := range must(os.ReadDir("/proc/self/fd")) {
		if fd := must(strconv.Atoi(e.Name())); fd > 2 {
			syscall.CloseOnExec(fd)
		}
	}
	cmd := exec.Command(args[0], args[1:]...)
	if _, ok := applets[args[0]]; ok {
		cmd = exec.Command("/proc/self/exe", args...)
		cmd.Args[0] = "tc"
	}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Cloneflags: flags}
	check(cmd.Start())
	start, _ := stat(cmd.Process.Pid)
	p := proc{name, args, cmd.Process.Pid, start}
	f := must(os.OpenFile(string(t), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
	defer f.Close()
	must(f.Write(append(must(json.Marshal(p)), '\n')))
	return p
}

// stat returns a process's start time and state, both empty when there is none.
// Its first thread may be a zombie while others still hold sockets: not Z then.
func stat(pid int) (start, state string) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return "", ""
	}
	f := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:])) // the name may hold anything
	if threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid)); f[0] == "Z" && len(threads) > 1 {
		return f[19], "R"
	}
	return f[19], f[0]
}

func (p proc) alive() bool {
	start, state := stat(p.Pid)
	return start != "" && start == p.Start && state != "Z" && state != "X"
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func (p proc) signal(s syscall.Signal) {
	if p.alive() {
		_ = syscall.Kill(p.Pid, s)
	}
}

func (p proc) wait(limit time.Duration) bool {
	for end := time.Now().Add(limit); p.alive(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// end stops every process of the table: at once, or with a few seconds to shut
// down in reverse order (etcd, started first, goes last).
func (t table) end(atOnce bool) {
	procs := t.load()
	for i := len(procs) - 1; i >= 0; i-- {
		p := procs[i]
		if p.Pid == os.Getppid() {
			continue // the watch, which has become the script that calls us
		}
		if !atOnce {
			p.signal(syscall.SIGTERM)
			p.signal(syscall.SIGCONT)
			p.wait(3 * time.Second)
		}
		p.signal(syscall.SIGKILL)
	}
	for _, p := range procs {
		if p.Pid != os.Getppid() && !p.wait(10*time.Second) {
			check(fmt.Errorf("%s (pid %d) does not end", p.Name, p.Pid))
		}
	}
	_ = os.Remove(string(t))
}

// until returns when the process has ended, however it did; every 200 ms before that it calls each.
func until(pid int, each func()) {
	start, _ := stat(pid)
	for p := (proc{Pid: pid, Start: start}); p.alive(); time.Sleep(200 * time.Millisecond) {
		each()
	}
}

// tables parses the flags of the applets below.
func tables(name string, more func(*flag.FlagSet)) (table, []string) {
	fs := flag.NewFlagSet(name, flag.ExitOnError)
	dir := fs.String("dir", "", "state directory of the cluster")
	host := fs.Bool("host", false, "the table of helpers outside the cluster")
	if more != nil {
		more(fs)
	}
	_ = fs.Parse(os.Args[1:])
	file := "pids"
	if *host {
		file = "host"
	}
	return table(filepath.Join(must(filepath.Abs(*dir)), file)), fs.Args()
}

func init() {
	applets["spawn"] = func() { // tc spawn --dir D [--name N] -- APPLET|PROGRAM args
		var name string
		var node bool
		t, args := tables("spawn", func(fs *flag.FlagSet) {
			fs.StringVar(&name, "name", "", "name in the table, by default the applet's")
			fs.BoolVar(&node, "node", false, "as pid 1 of new mount, network, pid, ipc and uts namespaces")
		})
		if name == "" {
			name = args[0]
		}
		var flags uintptr
		if node {
			flags = syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS
		}
		fmt.Println(t.spawn(name, args, flags).Pid)
	}
	applets["ps"] = func() { // one line per process: name, pid, up|frozen|dead
		t, _ := tables("ps", nil)
		for _, p := range t.load() {
			state := "dead"
			if p.alive() {
				state = "up"
				if _, now := stat(p.Pid); now == "T" {
					state = "frozen"
				}
			}
			fmt.Println(p.Name, p.Pid, state)
		}
	}
	applets["signal"] = func() { // tc signal --dir D COMPONENT STOP|CONT|KILL
		t, args := tables("signal", nil)
		s := map[string]syscall.Signal{"STOP": syscall.SIGSTOP, "CONT": syscall.SIGCONT, "KILL": syscall.SIGKILL}[args[1]]
		p := t.get(args[0])
		if !p.alive() {
			check(fmt.Errorf("%s is not running", p.Name))
		}
		p.signal(s)
		if s == syscall.SIGKILL && !p.wait(10*time.Second) {
			check(fmt.Errorf("%s (pid %d) does not end", p.Name, p.Pid))
		}
	}
	applets["revive"] = func() { // tc revive --dir D COMPONENT: a dead one, with the same arguments
		t, args := tables("revive", nil)
		p := t.get(args[0])
		if p.alive() {
			check(fmt.Errorf("%s is running", p.Name))
		}
		t.spawn(p.Name, p.Args, 0)
	}
	applets["end"] = func() {
		var atOnce bool
		t, _ := tables("end", func(fs *flag.FlagSet) { fs.BoolVar(&atOnce, "now", false, "kill, do not ask") })
		t.end(atOnce)
	}
	applets["watch"] = func() { // tc watch --dir D [--host] PID COMMAND args: becomes the command when that process has ended
		var procs []proc // a test run may remove its temporary folder, and with it our tables, before it ends
		t, args := tables("watch", nil)
		until(must(strconv.Atoi(args[0])), func() {
			if now := t.load(); len(now) > 0 {
				procs = now
			}
		})
		for _, p := range procs {
			if p.Pid != os.Getpid() {
				p.signal(syscall.SIGKILL)
			}
		}
		if dir := filepath.Dir(string(t)); !exists(filepath.Join(dir, "kind")) {
			_ = os.RemoveAll(dir) // the rest of it
		}
		check(syscall.Exec(args[1], args[1:], os.Environ()))
	}
}
