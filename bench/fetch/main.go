// Command fetch measures a download into the content store beside curl and
// aria2c, over loopback into the same disk. It prints how long each took as a
// ratio to the slower of writing and hashing the same bytes, and the most
// memory that it had.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/comfyctl/comfyctl/internal/cas"
	"github.com/comfyctl/comfyctl/internal/fetch"
	"github.com/comfyctl/comfyctl/internal/layer"
)

func main() {
	mode := flag.String("mode", "all", "all, serve or get")
	size := flag.Int64("size", 4<<30, "bytes of the file")
	dir := flag.String("dir", "", "folder on the disk to measure")
	url := flag.String("url", "", "of the file, for get")
	layered := flag.Bool("layer", false, "compute the layer's digest too, for get")
	connections := flag.Int("connections", 0, "for get")
	runs := flag.Int("runs", 3, "how often; the median counts")
	flag.Parse()
	var err error
	switch *mode {
	case "serve":
		err = serve(*size)
	case "get":
		err = get(*dir, *url, *layered, *connections)
	default:
		err = all(*size, *dir, *runs)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// pattern is a file of the same 16 MiB of noise again and again.
type pattern struct {
	block     []byte
	at, limit int64
}

func (p *pattern) Read(b []byte) (int, error) {
	if p.at >= p.limit {
		return 0, io.EOF
	}
	off := p.at % int64(len(p.block))
	n := copy(b[:min(int64(len(b)), p.limit-p.at)], p.block[off:])
	p.at += int64(n)
	return n, nil
}

func (p *pattern) Seek(off int64, whence int) (int64, error) {
	p.at = off + []int64{0, p.at, p.limit}[whence]
	return p.at, nil
}

func serve(size int64) error {
	block := make([]byte, 16<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(block)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + l.Addr().String() + "/model.bin")
	return http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-Type", "application/octet-stream")
		http.ServeContent(w, r, "", time.Time{}, &pattern{block: block, limit: size})
	}))
}

func get(dir, url string, layered bool, connections int) error {
	c := fetch.Client{Store: cas.Open(dir), Connections: connections}
	r := fetch.Request{URL: url, Name: "model.bin"}
	var sum *layer.FileSum
	if layered {
		r.Also = func(size int64) (io.Writer, error) {
			var err error
			sum, err = layer.NewFileSum("opt/comfy/models/checkpoints/model.bin", size)
			return sum, err
		}
	}
	b, _, err := c.Get(context.Background(), r)
	if err != nil {
		return err
	}
	fmt.Println(b.SHA256)
	if layered {
		l, err := sum.Sum()
		if err != nil {
			return err
		}
		fmt.Println(l)
	}
	return nil
}

// contender is a way to fetch the file.
type contender struct {
	name string
	args []string
	// after lists files that have to reach the disk before the clock stops.
	after string
	hash  bool
}

func all(size int64, dir string, runs int) error {
	if dir == "" {
		dir = os.TempDir()
	}
	dir, err := os.MkdirTemp(dir, "bench-fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := exec.Command(self, "-mode", "serve", "-size", fmt.Sprint(size))
	out, err := server.StdoutPipe()
	if err != nil {
		return err
	}
	if err := server.Start(); err != nil {
		return err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	line := make([]byte, 256)
	n, err := out.Read(line)
	if err != nil {
		return err
	}
	url := strings.TrimSpace(string(line[:n]))

	file := filepath.Join(dir, "file")
	ours := []string{self, "-mode", "get", "-url", url, "-dir", filepath.Join(dir, "cas")}
	list := []contender{
		{name: "comfyctl: store + sha256", args: ours},
		{name: "comfyctl: store + sha256 + layer digest", args: append(append([]string{}, ours...), "-layer")},
		{name: "curl", args: []string{"curl", "-sS", "-o", file, url}, after: file},
		{name: "curl, then sha256sum", args: []string{"curl", "-sS", "-o", file, url}, after: file, hash: true},
		{name: "aria2c -x8", args: aria(dir, url), after: file},
		{name: "aria2c -x8, then sha256sum", args: aria(dir, url), after: file, hash: true},
	}
	return compare(list, dir, size, runs)
}

func aria(dir, url string) []string {
	return []string{"aria2c", "-q", "-x8", "-s8", "--file-allocation=none", "-d", dir, "-o", "file", url}
}

func compare(list []contender, dir string, size int64, runs int) error {
	write, hash := []time.Duration{}, []time.Duration{}
	took := make([][]time.Duration, len(list))
	memory := make([]int64, len(list))
	for range runs { // one after the other, so that all see the same weather
		w, h, err := floor(dir, size)
		if err != nil {
			return err
		}
		write, hash = append(write, w), append(hash, h)
		for i, c := range list {
			d, rss, err := c.run(dir)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			took[i], memory[i] = append(took[i], d), max(memory[i], rss)
		}
	}
	w, h := median(write), median(hash)
	base := max(w, h)
	fmt.Printf("%.1f GiB; writing it takes %.2f s, hashing it %.2f s\n", float64(size)/(1<<30), w.Seconds(), h.Seconds())
	for i, c := range list {
		d := median(took[i])
		fmt.Printf("%-42s %6.2f s  %5.2fx  %4d MB\n", c.name, d.Seconds(), float64(d)/float64(base), memory[i]>>10)
	}
	return nil
}

// run measures one way and removes what it brought.
func (c contender) run(dir string) (time.Duration, int64, error) {
	_ = os.RemoveAll(filepath.Join(dir, "cas"))
	_ = os.Remove(filepath.Join(dir, "file"))
	syscall.Sync()
	cmd := exec.Command(c.args[0], c.args[1:]...)
	cmd.Stderr = os.Stderr
	began := time.Now()
	if err := cmd.Run(); err != nil {
		return 0, 0, err
	}
	if c.after != "" {
		f, err := os.OpenFile(c.after, os.O_RDWR, 0)
		if err != nil {
			return 0, 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, 0, err
		}
		_ = f.Close()
	}
	if c.hash {
		if err := exec.Command("sha256sum", c.after).Run(); err != nil {
			return 0, 0, err
		}
	}
	took := time.Since(began)
	usage, _ := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	return took, usage.Maxrss, nil
}

// floor is how long the disk alone and the hash alone take.
func floor(dir string, size int64) (write, hash time.Duration, err error) {
	syscall.Sync()
	f, err := os.Create(filepath.Join(dir, "floor"))
	if err != nil {
		return 0, 0, err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	block := make([]byte, 1<<20)
	_, _ = rand.NewChaCha8([32]byte{2}).Read(block)
	began := time.Now()
	for range size >> 20 {
		if _, err := f.Write(block); err != nil {
			return 0, 0, err
		}
	}
	if err := f.Sync(); err != nil {
		return 0, 0, err
	}
	write = time.Since(began)
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, 0, err
	}
	h := sha256.New()
	began = time.Now()
	if _, err := io.CopyBuffer(h, struct{ io.Reader }{f}, block); err != nil {
		return 0, 0, err
	}
	hash = time.Since(began)
	_ = hex.EncodeToString(h.Sum(nil))
	return write, hash, nil
}

func median(d []time.Duration) time.Duration {
	s := append([]time.Duration{}, d...)
	for i := range s {
		for j := i; j > 0 && s[j] < s[j-1]; j-- {
			s[j], s[j-1] = s[j-1], s[j]
		}
	}
	return s[len(s)/2]
}
