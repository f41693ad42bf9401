package main

import (
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// forward listens here and dials inside the network namespace of --pid, so a
// cluster that lives in its own namespace is reachable on this loopback. With
// --reverse it listens in that namespace and dials here (an identity provider
// on this loopback, as the cluster sees it).
func init() {
	applets["forward"] = func() {
		fs := flag.NewFlagSet("forward", flag.ExitOnError)
		listen := fs.String("listen", "127.0.0.1:7443", "")
		to := fs.String("to", "127.0.0.1:7443", "")
		pid := fs.Int("pid", 0, "a process in the target network namespace")
		reverse := fs.Bool("reverse", false, "")
		_ = fs.Parse(os.Args[1:])
		ns := must(unix.Open(fmt.Sprintf("/proc/%d/ns/net", *pid), unix.O_RDONLY|unix.O_CLOEXEC, 0))
		enter := func() {
			runtime.LockOSThread() // never unlocked: the thread stays in, and ends with, the namespace
			check(unix.Setns(ns, unix.CLONE_NEWNET))
		}
		listening := make(chan net.Listener)
		go func() {
			if *reverse {
				enter()
			}
			l, err := net.Listen("tcp", *listen)
			for n := 0; err != nil && *reverse && n < 100; n++ { // a new namespace has no loopback yet
				time.Sleep(50 * time.Millisecond)
				l, err = net.Listen("tcp", *listen)
			}
			listening <- must(l, err)
			select {}
		}()
		l := <-listening
		dial := make(chan chan net.Conn)
		go func() {
			if !*reverse {
				enter()
			}
			for reply := range dial {
				c, err := net.DialTimeout("tcp", *to, 5*time.Second)
				if err != nil {
					fmt.Fprintln(os.Stderr, "forward:", err)
				}
				reply <- c
			}
		}()
		for {
			in := must(l.Accept())
			go func() {
				defer in.Close()
				reply := make(chan net.Conn)
				dial <- reply
				out := <-reply
				if out == nil {
					return
				}
				defer out.Close()
				go func() { _, _ = io.Copy(out, in); _ = out.(*net.TCPConn).CloseWrite() }()
				_, _ = io.Copy(in, out)
			}()
		}
	}
}
