//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// timed runs a command to its end.
func timed(ctx context.Context, name string, args ...string) (usage, []byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	start := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(start)}
	if st := cmd.ProcessState; st != nil {
		u.cpu = st.UserTime() + st.SystemTime()
		u.peak = maxRSS(st.SysUsage())
	}
	if err != nil {
		return u, nil, fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, lastLines(errs.String()))
	}
	return u, out.Bytes(), nil
}

// settle writes out what earlier runs have left in memory, so that no tool pays for another's writing.
func settle() { syscall.Sync() }

func maxRSS(sys any) int64 {
	ru, ok := sys.(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "linux" {
		return ru.Maxrss * 1024 // Linux counts KiB, others bytes
	}
	return ru.Maxrss
}

func lastLines(s string) string {
	if len(s) > 800 {
		s = s[len(s)-800:]
	}
	return strings.TrimSpace(s)
}

// daemon is a process that runs while others are measured against it.
type daemon struct {
	cmd   *exec.Cmd
	home  string
	addrs []string // where a node can be dialled
}

// startNode runs a node with a fresh home.
func (b *bench) startNode(ctx context.Context, name string, flags ...string) (*daemon, []string, error) {
	home := b.fresh(name)
	d, err := b.runNode(ctx, home, append([]string{b.exe, "run", "--home", home, "--json", "--listen", "/ip4/127.0.0.1/tcp/0"}, flags...))
	if err != nil {
		return nil, nil, err
	}
	return d, d.addrs, nil
}

// runNode starts a command line with `run` and waits for its ready line.
func (b *bench) runNode(ctx context.Context, home string, line []string) (*daemon, error) {
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "SHOAL_P2P__MDNS=false")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	var errs bytes.Buffer
	cmd.Stderr = &errs
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	d := &daemon{cmd: cmd, home: home}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var r struct {
			Type   string
			Listen []string
		}
		if json.Unmarshal(lines.Bytes(), &r) == nil && r.Type == "ready" {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			d.addrs = r.Listen
			return d, nil
		}
	}
	d.kill()
	return nil, fmt.Errorf("node run ended before it was ready: %s", lastLines(errs.String()))
}

func (d *daemon) kill() {
	if d == nil {
		return
	}
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
}

// peak is the most memory the process has had resident so far, in bytes.
func (d *daemon) peak() int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kib << 10
		}
	}
	return 0
}

// cpu is the processor time the process has used so far.
func (d *daemon) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseInt(fields[11], 10, 64)
	system, _ := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * 10 * time.Millisecond // clock ticks are 1/100 s on Linux
}

// result is the last line of a command's --json.
type result struct {
	Set          string  `json:"set"`
	Ticket       string  `json:"ticket"`
	Root         string  `json:"root"`
	Revision     uint64  `json:"revision"`
	BytesTotal   int64   `json:"bytes_total"`
	BytesReused  int64   `json:"bytes_reused"`
	BytesPatched int64   `json:"bytes_patched"`
	BytesFetched int64   `json:"bytes_fetched"`
	WireIn       int64   `json:"wire_in"`
	WireOut      int64   `json:"wire_out"`
	WireEstimate int64   `json:"wire_estimate"`
	Seconds      float64 `json:"seconds"`
	Sources      int     `json:"sources"`
}

func lastResult(out []byte) (result, error) {
	lines := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	var r result
	err := json.Unmarshal(lines[len(lines)-1], &r)
	return r, err
}

// node runs one command of the node and reads its result.
func (b *bench) node(ctx context.Context, home string, args ...string) (usage, result, error) {
	args = append(args, "--home", home, "--json")
	u, out, err := timed(ctx, b.exe, args...)
	if err != nil {
		return u, result{}, err
	}
	r, err := lastResult(out)
	return u, r, err
}

// startRsync serves dir as module "m" and returns its URL.
func (b *bench) startRsync(ctx context.Context, dir string) (*daemon, string, error) {
	return b.startRsyncIn(ctx, &machine{}, "127.0.0.1", dir)
}

// startRsyncIn does it in the namespace of a machine.
func (b *bench) startRsyncIn(ctx context.Context, in *machine, ip, dir string) (*daemon, string, error) {
	port := 20000 + rand.IntN(20000)
	conf := filepath.Join(b.dir, fmt.Sprintf("rsyncd-%d.conf", port))
	text := fmt.Sprintf("use chroot = no\nuid = %d\ngid = %d\n[m]\npath = %s\nread only = yes\n", os.Getuid(), os.Getgid(), dir)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		return nil, "", err
	}
	line := in.inside("rsync", "--daemon", "--no-detach", "--config", conf, "--port", strconv.Itoa(port), "--address", ip)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, "", err
	}
	url := fmt.Sprintf("rsync://%s:%d/m/", ip, port)
	ask := in.inside("rsync", url)
	for range 100 { // it listens within milliseconds
		if exec.CommandContext(ctx, ask[0], ask[1:]...).Run() == nil {
			return &daemon{cmd: cmd}, url, nil
		}
	}
	(&daemon{cmd: cmd}).kill()
	return nil, "", errors.New("rsync daemon does not answer")
}

// writeRandom fills a file with seeded bytes that do not compress.
func writeRandom(path string, size int64, seed uint64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	if _, err := io.CopyN(f, rand.NewChaCha8(key), size); err != nil {
		return err
	}
	return f.Close()
}

// writeSmall makes n files of 1 to 16 KiB in folders of 100.
func writeSmall(dir string, n int) (int64, error) {
	rng := rand.New(rand.NewPCG(1, 2))
	var total int64
	for i := range n {
		sub := filepath.Join(dir, fmt.Sprintf("%03d", i/100))
		if i%100 == 0 {
			if err := os.MkdirAll(sub, 0o755); err != nil {
				return 0, err
			}
		}
		size := int64(1<<10 + rng.IntN(15<<10))
		total += size
		if err := writeRandom(filepath.Join(sub, fmt.Sprintf("file-%05d", i)), size, uint64(i)+1000); err != nil {
			return 0, err
		}
	}
	return total, nil
}

// diskUsage is the bytes of the files below dir, allocated and apparent.
func diskUsage(dir string) (allocated, apparent int64) {
	_ = filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if err != nil || info.IsDir() {
			return nil
		}
		apparent += info.Size()
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			allocated += int64(st.Blocks) * 512
		}
		return nil
	})
	return allocated, apparent
}

// untilResult reads --json output up to its result line.
func untilResult(out io.Reader, start time.Time) (time.Duration, error) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r struct{ Type, Title, Detail string }
		if json.Unmarshal(lines.Bytes(), &r) != nil {
			continue
		}
		switch r.Type {
		case "result":
			return time.Since(start), nil
		case "error":
			return 0, fmt.Errorf("%s: %s", r.Title, r.Detail)
		}
	}
	return 0, errors.New("it ended without a result")
}
