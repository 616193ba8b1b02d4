// tests/bench/peers: pgx with its pool, a peer of the benchmark. The protocol of its arguments and of its answer is in
// ../peer.c. As many goroutines as queries are to be in flight share a pool of as many connections as asked for; one
// thread runs them. With a rate they wait for what is due. The pool prepares a statement at its first use on each
// connection.
package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"runtime"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/jackc/pgx/v4"
	"github.com/jackc/pgx/v4/pgxpool"
)

var version = "?" // set by the script `build`

func die(what string, err error) {
	fmt.Fprintf(os.Stderr, "pgx: %s: %v\n", what, err)
	os.Exit(1)
}

const (
	firstID, ids, numberOver = 100000, 10000, 100000
	query                    = "SELECT number FROM bench_select WHERE id = $1"
)

var asked uint32 // how many ids, one after the other

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

func ask(pool interface {
	QueryRow(context.Context, string, ...interface{}) pgx.Row
}) {
	var value int32
	id := firstID + int32(atomic.AddUint32(&asked, 1)%ids)
	if err := pool.QueryRow(context.Background(), query, id).Scan(&value); err != nil {
		die("query", err)
	}
	if value != id+numberOver {
		die("a wrong answer", fmt.Errorf("%d", value))
	}
}

// What was answered, and how long those took that were timed and count.
type answers struct {
	count        uint64
	began, ended time.Time
	lock         sync.Mutex
	tookNs       []int64
}

// Counts where `at` is while it is measured.
func (answers *answers) take(at time.Time, took time.Duration) {
	if at.Before(answers.began) || !at.Before(answers.ended) {
		return
	}
	answers.lock.Lock()
	answers.tookNs = append(answers.tookNs, took.Nanoseconds())
	answers.lock.Unlock()
}

// What the line says of them, where it does.
func (answers *answers) percentiles() string {
	answers.lock.Lock()
	defer answers.lock.Unlock()
	took := answers.tookNs
	if len(took) == 0 {
		return ""
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	us := func(share float64) float64 { return float64(took[int(float64(len(took)-1)*share)]) / 1000 }
	return fmt.Sprintf("\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, ", us(0.5), us(0.99), us(0.999))
}

func keepAsking(pool *pgxpool.Pool, answers *answers, timed bool) {
	for {
		if timed {
			asked := time.Now()
			ask(pool)
			now := time.Now()
			answers.take(now, now.Sub(asked))
		} else {
			ask(pool)
		}
		atomic.AddUint64(&answers.count, 1)
	}
}

// The runtime's own timers have a resolution of a millisecond, so that this is a timer of the kernel's, which wakes the
// program up as a caller's request by a socket would.
func openTimer() *os.File {
	const monotonic, nonblocking = 1, syscall.O_NONBLOCK | syscall.O_CLOEXEC
	fd, _, rc := syscall.Syscall(syscall.SYS_TIMERFD_CREATE, monotonic, nonblocking, 0)
	if rc != 0 {
		die("timerfd_create", rc)
	}
	return os.NewFile(fd, "timer")
}

func waitUntil(timer *os.File, control syscall.RawConn, due time.Time) {
	for left := time.Until(due); left > 0; left = time.Until(due) {
		when := [2]syscall.Timespec{{}, syscall.NsecToTimespec(left.Nanoseconds())}
		err := control.Control(func(fd uintptr) {
			if _, _, rc := syscall.RawSyscall6(syscall.SYS_TIMERFD_SETTIME, fd, 0,
				uintptr(unsafe.Pointer(&when)), 0, 0, 0); rc != 0 {
				die("timerfd_settime", rc)
			}
		})
		if err != nil {
			die("timer", err)
		}
		var expired [8]byte
		if _, err := timer.Read(expired[:]); err != nil {
			die("timer", err)
		}
	}
}

// Begins queries at random times, so many a second; returns when those that are due before the end are answered. Where
// the goroutines do not keep up, so that this waits for them, queries count from when they were due nevertheless.
func beginAt(rate float64, goroutines int, pool *pgxpool.Pool, answers *answers) {
	timer := openTimer()
	control, err := timer.SyscallConn()
	if err != nil {
		die("timer", err)
	}
	random := rand.New(rand.NewSource(1)) // the same each time
	due, begin := time.Now(), make(chan time.Time, 1024)
	var working sync.WaitGroup
	working.Add(goroutines)
	for i := 0; i < goroutines; i++ {
		go func() {
			for due := range begin {
				ask(pool)
				answers.take(due, time.Since(due))
			}
			working.Done()
		}()
	}
	for {
		due = due.Add(time.Duration(random.ExpFloat64() * 1e9 / rate))
		if !due.Before(answers.ended) {
			break
		}
		waitUntil(timer, control, due)
		begin <- due
	}
	close(begin)
	working.Wait()
}

// Every connection is there and has the statement before anything is measured.
func open(target string, connections int) *pgxpool.Pool {
	pool, err := pgxpool.Connect(context.Background(), target)
	if err != nil {
		die("connect", err)
	}
	all := make([]*pgxpool.Conn, connections)
	for i := range all {
		if all[i], err = pool.Acquire(context.Background()); err != nil {
			die("connect", err)
		}
		ask(all[i])
	}
	for _, one := range all {
		one.Release()
	}
	return pool
}

func main() {
	host, port := flag.String("host", "", ""), flag.Int("port", 0, "")
	user, database := flag.String("user", "", ""), flag.String("database", "", "")
	connections, inFlight := flag.Int("connections", 1, ""), flag.Int("in-flight", 1, "")
	warmMs, measureMs := flag.Int("warm-ms", 0, ""), flag.Int("measure-ms", 0, "")
	latencies, rate := flag.Int("latencies", 0, ""), flag.Float64("rate", 0, "")
	flag.Parse()
	runtime.GOMAXPROCS(1)

	target := fmt.Sprintf("host=%s port=%d user=%s dbname=%s sslmode=disable pool_max_conns=%d pool_min_conns=%d", *host,
		*port, *user, *database, *connections, *connections)
	pool := open(target, *connections)
	answers := answers{began: time.Now().Add(time.Duration(*warmMs) * time.Millisecond)}
	answers.ended = answers.began.Add(time.Duration(*measureMs) * time.Millisecond)
	all := make(chan bool)
	if *rate > 0 {
		go func() {
			beginAt(*rate, *connections**inFlight, pool, &answers)
			close(all)
		}()
	}
	for i := 0; *rate <= 0 && i < *connections**inFlight; i++ {
		go keepAsking(pool, &answers, *latencies > 0 && i%*latencies == 0)
	}
	time.Sleep(time.Until(answers.began))
	fmt.Println("began")
	began := takeSample(&answers.count)
	time.Sleep(time.Until(answers.ended))
	ended := takeSample(&answers.count)
	answered, wall := ended.answered-began.answered, ended.at.Sub(began.at)
	if *rate > 0 {
		<-all
		answered, wall = uint64(len(answers.tookNs)), answers.ended.Sub(answers.began)
	}
	fmt.Printf("{\"answered\": %d, \"wall_ns\": %d, \"cpu_ns\": %d, \"switches\": %d, \"peak_kib\": %d, %s"+
		"\"version\": \"pgx %s\"}\n", answered, wall.Nanoseconds(),
		ended.cpuNs-began.cpuNs, ended.switches-began.switches, peakKib(), answers.percentiles(), version)
}
