package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ten is how many consecutive ports one cluster owns.
const ten = 10

// reserve claims ten ports for the state directory dir, the given ones or (0)
// free ones, and remembers the first in dir/port for as long as dir exists. All
// that live in the same parent folder choose one after the other; those of
// other folders are kept apart by chance and by trying to bind.
func reserve(dir string, first int) int {
	run := filepath.Dir(dir)
	lock := must(syscall.Open(run, syscall.O_RDONLY|syscall.O_CLOEXEC, 0))
	defer syscall.Close(lock)
	check(syscall.Flock(lock, syscall.LOCK_EX))
	taken := map[int]string{}
	for _, f := range must(filepath.Glob(filepath.Join(run, "*", "port"))) {
		if n, err := strconv.Atoi(strings.TrimSpace(string(must(os.ReadFile(f))))); err == nil {
			taken[n] = filepath.Dir(f)
		}
	}
	why := func(first int) error {
		for other, who := range taken {
			if who != dir && first < other+ten && other < first+ten {
				return fmt.Errorf("ports %d to %d: reserved by %s", first, first+ten-1, who)
			}
		}
		for p := first; p < first+ten; p++ {
			l, err := net.Listen("tcp", fmt.Sprint("127.0.0.1:", p))
			if err != nil {
				return err
			}
			l.Close()
		}
		return nil
	}
	if first != 0 {
		check(why(first))
	}
	for n := 0; first == 0; n++ {
		c := 10000 + ten*rand.IntN(2000) // below the ports that Linux gives to outgoing connections
		if err := why(c); err == nil {
			first = c
		} else if n == 1000 {
			check(fmt.Errorf("no ten free ports from 10000 to 29999: %w", err))
		}
	}
	check(os.WriteFile(filepath.Join(dir, "port"), fmt.Appendln(nil, first), 0o644))
	return first
}

func init() {
	applets["reserve"] = func() { // tc reserve DIR [PORT]
		want := 0
		if len(os.Args) > 2 {
			want = must(strconv.Atoi(os.Args[2]))
		}
		fmt.Println(reserve(must(filepath.Abs(os.Args[1])), want))
	}
}
