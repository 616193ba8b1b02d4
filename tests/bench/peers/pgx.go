// tests/bench/peers: pgx with its pool, a peer of the benchmark. The protocol of its arguments and of its answer is in
// ../peer.c. As many goroutines as queries are to be in flight share a pool of as many connections as asked for; one
// thread runs them. The pool prepares a statement at its first use on each connection.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v4/pgxpool"
)

var version = "?" // set by the script `build`

func die(what string, err error) {
	fmt.Fprintf(os.Stderr, "pgx: %s: %v\n", what, err)
	os.Exit(1)
}

type sample struct {
	at       time.Time
	cpuNs    int64
	switches int64
	answered uint64
}

func takeSample(answered *uint64) sample {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		die("getrusage", err)
	}
	return sample{time.Now(), usage.Utime.Nano() + usage.Stime.Nano(), usage.Nvcsw, atomic.LoadUint64(answered)}
}

// Peak memory of this program; the one in getrusage counts that of whoever started it as well.
func peakKib() (kib int64) {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return 0
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "VmHWM:") {
			fmt.Sscanf(strings.TrimPrefix(lines.Text(), "VmHWM:"), "%d", &kib)
		}
	}
	return kib
}

// Of so many callers one counts how long its queries take.
const timed = 8

type times struct {
	sync.Mutex
	took []time.Duration
}

func (t *times) add(took time.Duration) {
	t.Lock()
	t.took = append(t.took, took)
	t.Unlock()
}

// All that were added, sorted; empty from now on.
func (t *times) take() []time.Duration {
	t.Lock()
	defer t.Unlock()
	took := t.took
	t.took = nil
	sort.Slice(took, func(a, b int) bool { return took[a] < took[b] })
	return took
}

func percentileUs(took []time.Duration, share float64) float64 {
	if len(took) == 0 {
		return 0
	}
	return float64(took[int(float64(len(took)-1)*share)].Nanoseconds()) / 1000
}

func ask(pool *pgxpool.Pool, answered *uint64, times *times) {
	var last time.Time
	for {
		if times != nil {
			last = time.Now()
		}
		var value int32
		if err := pool.QueryRow(context.Background(), "SELECT 42").Scan(&value); err != nil {
			die("query", err)
		}
		if value != 42 {
			die("a wrong answer", fmt.Errorf("%d", value))
		}
		atomic.AddUint64(answered, 1)
		if times != nil {
			times.add(time.Since(last))
		}
	}
}

func main() {
	host, port := flag.String("host", "", ""), flag.Int("port", 0, "")
	user, database := flag.String("user", "", ""), flag.String("database", "", "")
	connections, inFlight := flag.Int("connections", 1, ""), flag.Int("in-flight", 1, "")
	warmMs, measureMs := flag.Int("warm-ms", 0, ""), flag.Int("measure-ms", 0, "")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	target := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable pool_max_conns=%d pool_min_conns=%d", *host,
		*port, *user, *database, *connections, *connections)
	pool, err := pgxpool.Connect(context.Background(), target)
	if err != nil {
		die("connect", err)
	}
	var answered uint64
	var all times
	for i := 0; i < *connections**inFlight; i++ {
		if i%timed == 0 {
			go ask(pool, &answered, &all)
		} else {
			go ask(pool, &answered, nil)
		}
	}
	time.Sleep(time.Duration(*warmMs) * time.Millisecond)
	fmt.Println("began")
	all.take()
	began := takeSample(&answered)
	time.Sleep(time.Duration(*measureMs) * time.Millisecond)
	ended := takeSample(&answered)
	took := all.take()
	fmt.Printf("{\"answered\": %d, \"wall_ns\": %d, \"cpu_ns\": %d, \"switches\": %d, \"peak_kib\": %d, "+
		"\"p50_us\": %.1f, \"p99_us\": %.1f, \"version\": \"pgx %s\"}\n",
		ended.answered-began.answered, ended.at.Sub(began.at).Nanoseconds(), ended.cpuNs-began.cpuNs,
		ended.switches-began.switches, peakKib(), percentileUs(took, 0.5), percentileUs(took, 0.99), version)
}
