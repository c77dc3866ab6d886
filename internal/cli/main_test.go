package cli

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// leakChecked runs the tests, then looks for goroutines that were left behind.
type leakChecked struct{ m *testing.M }

func (l leakChecked) Run() int {
	code := l.m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(leakChecked{m}, map[string]func(){
		"comfyctl": func() {
			os.Exit(Main(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
		},
	})
}

// TestScripts runs testdata/script. Those that need Docker say [docker], which
// COMFYCTL_TEST_DOCKER=1 turns on.
func TestScripts(t *testing.T) {
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		UpdateScripts:       os.Getenv("COMFYCTL_UPDATE") != "",
		Setup: func(e *testscript.Env) error {
			e.Setenv("LANG", "C.UTF-8")
			e.Setenv("EXAMPLES", examples)
			e.Setenv("GOFLAGS", os.Getenv("GOFLAGS"))
			for _, name := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB"} {
				if v := goEnv()[name]; v != "" {
					e.Setenv(name, v)
				}
			}
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond == "docker" {
				return os.Getenv("COMFYCTL_TEST_DOCKER") == "1", nil
			}
			return false, fmt.Errorf("unknown condition %q", cond)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"example":  cmdExample,
			"waitfile": cmdWaitFile,
			"jsonok":   cmdJSON,
			"zipdir":   cmdZip,
			"picture":  cmdPicture,
		},
	})
}

// cmdExample copies an example's folder: example NAME DIR.
func cmdExample(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: example NAME DIR")
	}
	ts.Check(os.CopyFS(ts.MkAbs(args[1]), os.DirFS(filepath.Join(ts.Getenv("EXAMPLES"), args[0]))))
	ts.Check(os.RemoveAll(filepath.Join(ts.MkAbs(args[1]), stateDir)))
}

// cmdZip packs a folder: zipdir FILE.zip DIR.
func cmdZip(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: zipdir FILE.zip DIR")
	}
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	ts.Check(z.AddFS(os.DirFS(ts.MkAbs(args[1]))))
	ts.Check(z.Close())
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), b.Bytes(), 0o600))
}

// cmdPicture writes a picture as ComfyUI does: picture FILE.png PROMPT WORKFLOW.
func cmdPicture(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 3 {
		ts.Fatalf("usage: picture FILE.png PROMPT WORKFLOW")
	}
	var b bytes.Buffer
	ts.Check(png.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1))))
	const header = 8 + 12 + 13 // signature and IHDR
	out := slices.Clone(b.Bytes()[:header])
	for i, key := range []string{"prompt", "workflow"} {
		body := append([]byte("tEXt"+key+"\x00"), ts.ReadFile(args[i+1])...)
		out = binary.BigEndian.AppendUint32(out, uint32(len(body)-4))
		out = append(out, body...)
		out = binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), append(out, b.Bytes()[header:]...), 0o600))
}

// cmdWaitFile waits until a file is there: waitfile FILE.
func cmdWaitFile(ts *testscript.TestScript, _ bool, args []string) {
	for range 600 {
		if _, err := os.Stat(ts.MkAbs(args[0])); err == nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%s has not come", args[0])
}

// cmdJSON checks that stdout is one envelope of a command: [!] jsonok COMMAND
// [ERROR-CODE]. With ! the envelope must tell of a failure.
func cmdJSON(ts *testscript.TestScript, neg bool, args []string) {
	e := envelopeOf(ts, []byte(ts.ReadFile("stdout")))
	if e.Command != args[0] || e.OK == neg {
		ts.Fatalf("the envelope is of %q, ok %v", e.Command, e.OK)
	}
	if neg && (e.Error == nil || len(args) > 1 && e.Error.Code != args[1]) {
		ts.Fatalf("the error is %+v", e.Error)
	}
}

type fataler interface{ Fatalf(string, ...any) }

func envelopeOf(t fataler, b []byte) envelope {
	var e envelope
	dec := json.NewDecoder(bytes.NewReader(b))
	if err := dec.Decode(&e); err != nil {
		t.Fatalf("no envelope: %v in %q", err, b)
	}
	if dec.More() || !bytes.HasSuffix(b, []byte("}\n")) || e.Schema != schemaName || e.Diagnostics == nil {
		t.Fatalf("not one whole envelope: %s", b)
	}
	return e
}

// invoke runs comfyctl in-process in an empty folder.
func invoke(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	var out, errOut bytes.Buffer
	dir := t.TempDir()
	// .git ends the search for a service file.
	if err := os.Mkdir(filepath.Join(dir, ".git"), 0o755); err != nil {
		t.Fatal(err)
	}
	env := []string{"LANG=C.UTF-8", "DOCKER_HOST=unix:///nonexistent/docker.sock", "PATH=" + os.Getenv("PATH")}
	code = Main(context.Background(), append([]string{"-C", dir}, args...), null, &out, &errOut, env)
	return code, out.String(), errOut.String()
}

// goEnv is what Go's toolchain needs where HOME is another one.
func goEnv() map[string]string {
	env := map[string]string{}
	for _, kv := range os.Environ() {
		name, value, _ := strings.Cut(kv, "=")
		env[name] = value
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return env
	}
	if env["GOCACHE"] == "" {
		env["GOCACHE"] = filepath.Join(home, ".cache", "go-build")
	}
	if env["GOMODCACHE"] == "" {
		env["GOMODCACHE"] = filepath.Join(home, "go", "pkg", "mod")
	}
	return env
}
