package docker

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/volume"
	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/internal/progress"
	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/deploy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rig is a target on a fake engine, and what should run on it.
type rig struct {
	*testing.T
	fake   *fake
	target *Target
	spec   *deploy.Spec
}

func newRig(t *testing.T) *rig {
	con := &contract.Contract{Schema: contract.Schema, Name: "portrait"}
	digest, err := con.Digest()
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, digest)
	return &rig{T: t, fake: f, target: &Target{Engine: f, Service: "portrait", Name: "local", poll: time.Millisecond},
		spec: &deploy.Spec{Service: "portrait", Target: "local", Image: "good:1", ImageDigest: "sha256:1", Contract: con, Wait: true}}
}

func (r *rig) deploy() (*deploy.Plan, *deploy.Release, error) {
	r.Helper()
	p, err := r.target.Plan(r.Context(), r.spec)
	if err != nil {
		r.Fatal(err)
	}
	rel, err := r.target.Apply(r.Context(), p, progress.Discard)
	return p, rel, err
}

// mustDeploy deploys an image and expects it to serve.
func (r *rig) mustDeploy(image string) *deploy.Release {
	r.Helper()
	r.spec.Image, r.spec.ImageDigest = image, "sha256:"+image
	_, rel, err := r.deploy()
	if err != nil || rel.State != "ready" {
		r.Fatalf("%+v %v", rel, err)
	}
	return rel
}

// serves expects exactly one container, ready under its name.
func (r *rig) serves(release string) {
	r.Helper()
	list, err := r.target.Observe(r.Context())
	if err != nil || len(list) != 1 || list[0].Release != release || list[0].State != "ready" {
		r.Errorf("want %s alone and ready, got %+v %v", release, list, err)
	}
	c := r.fake.named("comfyctl-portrait-local")
	if c == nil || c.host.RestartPolicy.Name != container.RestartPolicyUnlessStopped {
		r.Errorf("container: %+v", c)
	}
}

func (r *rig) code(err error, want string) *diag.Error {
	r.Helper()
	var e *diag.Error
	if !errors.As(err, &e) || e.Code != want {
		r.Fatalf("want %s, got %v", want, err)
	}
	return e
}

func TestTwiceChangesNothing(t *testing.T) {
	r := newRig(t)
	first := r.mustDeploy("good:1")
	before := len(r.fake.changes)
	p, again, err := r.deploy()
	if err != nil || p.Changes() || again.ID != first.ID || again.Release != "v1" {
		t.Errorf("%+v %+v %v", p, again, err)
	}
	if calls := r.fake.changes[before:]; len(calls) > 0 {
		t.Errorf("the second deploy called %v", calls)
	}
	r.serves("v1")
}

func TestPlans(t *testing.T) {
	r := newRig(t)
	plan := func(want string) {
		t.Helper()
		p, err := r.target.Plan(t.Context(), r.spec)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, p.String()); diff != "" {
			t.Error(diff)
		}
	}
	plan("+ volume comfyctl-portrait-local\n+ container comfyctl-portrait-local  sha256:1\n")
	r.mustDeploy("good:1")
	plan("= container comfyctl-portrait-local  sha256:good:1\n")
	r.spec.RunnerEnv = map[string]string{"A": "b"}
	plan("~ settings of container comfyctl-portrait-local  v1 → v2\n")
	r.spec.ImageDigest = "sha256:2"
	plan("~ container comfyctl-portrait-local  sha256:good:1 → sha256:2\n")
	r.fake.named("comfyctl-portrait-local").halt(1)
	plan("~ container comfyctl-portrait-local  exited → sha256:2\n")
	if calls := len(r.fake.changes); calls != 4 { // create, start, update, rename
		t.Errorf("planning changed something: %v", r.fake.changes)
	}
}

func TestFailuresPutBack(t *testing.T) {
	r := newRig(t)
	r.mustDeploy("good:1")
	r.spec.ReadyTimeout = 50 * time.Millisecond
	for _, tt := range []struct{ image, code, fact string }{
		{"dies", "engine_died", "killed for memory"},
		{"slow", "not_ready", "not ready within 50ms"},
		{"broken", "engine_died", "stopped 4 times"},
	} {
		r.spec.Image, r.spec.ImageDigest = tt.image, "sha256:2"
		_, _, err := r.deploy()
		e := r.code(err, tt.code)
		if text := e.Message + facts(e); !strings.Contains(text, tt.fact) || !strings.Contains(text, "v1 was started again") || !strings.Contains(text, "CUDA out of memory") || e.Help == "" {
			t.Errorf("%s: %s\n%s", tt.image, text, e.Help)
		}
		r.serves("v1")
	}
	r.spec.Image = "good"
	r.spec.Verify = func(context.Context, string) error { return errors.New("case smoke: 404") }
	_, _, err := r.deploy()
	if e := r.code(err, "not_verified"); !strings.Contains(e.Error(), "case smoke: 404") {
		t.Error(err)
	}
	r.serves("v1")
	r.spec.Verify, r.fake.contract = nil, "sha256:of another"
	_, _, err = r.deploy()
	r.code(err, "wrong_release")
	list, err := r.target.Observe(t.Context())
	if err != nil || len(list) != 1 || list[0].Release != "v1" {
		t.Errorf("%+v %v", list, err)
	}
}

// What Docker refuses to make costs no downtime.
func TestRefusedBeforeStopping(t *testing.T) {
	r := newRig(t)
	r.mustDeploy("good:1")
	before := len(r.fake.changes)
	r.spec.Image = "absent"
	_, _, err := r.deploy()
	r.code(err, "image_missing")
	if diff := cmp.Diff([]string{"create comfyctl-portrait-local-next"}, r.fake.changes[before:]); diff != "" {
		t.Error(diff)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r.spec.Image, r.spec.Port = "good:2", l.Addr().(*net.TCPAddr).Port
	before = len(r.fake.changes)
	_, _, err = r.deploy()
	r.code(err, "port_taken")
	if calls := r.fake.changes[before:]; len(calls) > 0 {
		t.Errorf("%v", calls)
	}
	r.serves("v1")
}

func TestPortOfAnotherService(t *testing.T) {
	r := newRig(t)
	r.spec.Port = 18999
	r.mustDeploy("good:1")
	other := &Target{Engine: r.fake, Service: "upscale", Name: "local", poll: time.Millisecond}
	p, err := other.Plan(t.Context(), r.spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Apply(t.Context(), p, progress.Discard)
	if e := r.code(err, "port_taken"); !strings.Contains(e.Message, "port 18999 is taken by container comfyctl-portrait-local, service portrait on target local") {
		t.Error(e)
	}
	// The same port is no obstacle to the next release of the service itself.
	r.mustDeploy("good:2")
}

// TestCutOffAnywhere breaks a deploy at every call that changes something,
// before and after it, and sees that something of the service still stands and
// that the next deploy gets there.
func TestCutOffAnywhere(t *testing.T) {
	for _, image := range []string{"", "good:1"} { // nothing before, something before
		for _, after := range []bool{false, true} {
			for n := 1; ; n++ {
				r := newRig(t)
				if image != "" {
					r.mustDeploy(image)
				}
				r.spec.Image, r.spec.ImageDigest, r.spec.Force = "good:2", "sha256:2", true
				start := len(r.fake.changes)
				r.fake.breakAt, r.fake.after = start+n, after
				_, _, err := r.deploy()
				r.fake.breakAt = 0
				if err == nil {
					if n < 5 { // create, start, update, rename at least
						t.Errorf("only %d calls had their turn", n-1)
					}
					break
				}
				if !errors.Is(err, errBroken) && !strings.Contains(err.Error(), errBroken.Error()) {
					t.Fatalf("call %d: %v", n, err)
				}
				if _, got, err := r.deploy(); err != nil || got.State != "ready" {
					t.Fatalf("call %d (%s), after %v: %+v %v", n, r.fake.changes[start+n-1], after, got, err)
				}
				list, err := r.target.Observe(t.Context())
				if err != nil || len(list) != 1 || list[0].Digest != "sha256:2" {
					t.Errorf("call %d (%s), after %v: %+v %v", n, r.fake.changes[start+n-1], after, list, err)
				}
			}
		}
	}
}

func TestInterruptPutsBack(t *testing.T) {
	r := newRig(t)
	r.mustDeploy("good:1")
	r.spec.Image, r.spec.ImageDigest = "slow", "sha256:2"
	ctx, cancel := context.WithCancel(t.Context())
	p, err := r.target.Plan(ctx, r.spec)
	if err != nil {
		t.Fatal(err)
	}
	_, err = r.target.Apply(ctx, p, func(e progress.Event) {
		if e.Step == "engine" || e.Step == "ready" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	r.serves("v1")
}

func TestTwoDeploysAtOnce(t *testing.T) {
	r := newRig(t)
	r.mustDeploy("good:1")
	next := &fakeContainer{id: "x", name: "comfyctl-portrait-local-next", created: time.Now(), config: &container.Config{Labels: r.target.owner()},
		host: &container.HostConfig{}, state: container.State{Status: "created"}}
	next.config.Labels[labelBy] = "me@there"
	r.fake.containers = append(r.fake.containers, next)
	r.spec.Image, r.spec.ImageDigest = "good:2", "sha256:2"
	_, _, err := r.deploy()
	if e := r.code(err, "deploy_running"); !strings.Contains(facts(e), "me@there") {
		t.Error(facts(e))
	}
	r.serves2("v1")
	// One that has been there for long was left by a deploy that was killed.
	next.created = time.Now().Add(-time.Hour)
	r.mustDeploy("good:2")
	r.serves("v2")

	p, err := r.target.Plan(t.Context(), r.spec)
	if err != nil {
		t.Fatal(err)
	}
	r.mustDeploy("good:3")
	_, err = r.target.Apply(t.Context(), p, progress.Discard)
	if e := r.code(err, "target_moved"); e.Class != diag.ClassStale {
		t.Errorf("%+v", e)
	}
}

// serves2 is serves while a candidate is there too.
func (r *rig) serves2(release string) {
	r.Helper()
	list, err := r.target.Observe(r.Context())
	if err != nil || len(list) != 2 || list[0].Release != release || list[0].State != "ready" {
		r.Errorf("%+v %v", list, err)
	}
}

func TestKeepOnFailure(t *testing.T) {
	r := newRig(t)
	r.mustDeploy("good:1")
	r.spec.Image, r.spec.ImageDigest, r.spec.KeepOnFailure = "dies", "sha256:2", true
	for range 2 {
		_, _, err := r.deploy()
		if e := r.code(err, "engine_died"); !strings.Contains(facts(e), "comfyctl-portrait-local-failed was kept") {
			t.Error(facts(e))
		}
		r.serves2("v1")
	}
	r.mustDeploy("good:2")
	r.serves("v4")
}

func TestNoWait(t *testing.T) {
	r := newRig(t)
	r.spec.Wait, r.spec.Image = false, "slow"
	_, rel, err := r.deploy()
	if err != nil || rel.State != "starting" || rel.Reason != "starting: exit status 1" {
		t.Errorf("%+v %v", rel, err)
	}
	if c := r.fake.named("comfyctl-portrait-local"); c == nil || c.host.RestartPolicy.Name != container.RestartPolicyUnlessStopped {
		t.Errorf("%+v", c)
	}
}

func TestDestroy(t *testing.T) {
	r := newRig(t)
	if gone, err := r.target.Destroy(t.Context(), false); err != nil || len(gone) != 0 {
		t.Errorf("nothing to destroy: %v %v", gone, err)
	}
	r.mustDeploy("good:1")
	gone, err := r.target.Destroy(t.Context(), true)
	if diff := cmp.Diff([]string{"container comfyctl-portrait-local"}, gone); diff != "" || err != nil {
		t.Error(diff, err)
	}
	gone, err = r.target.Destroy(t.Context(), false)
	if diff := cmp.Diff([]string{"volume comfyctl-portrait-local"}, gone); diff != "" || err != nil {
		t.Error(diff, err)
	}
	// A volume of somebody else under that name stays.
	r.fake.volumes["comfyctl-portrait-local"] = volume.Volume{Labels: map[string]string{labelService: "another"}}
	_, err = r.target.Destroy(t.Context(), false)
	r.code(err, "name_taken")
	_, err = r.target.Plan(t.Context(), r.spec)
	r.code(err, "name_taken")
}

func TestLogsOfARelease(t *testing.T) {
	r := newRig(t)
	var b strings.Builder
	r.code(r.target.Logs(t.Context(), deploy.LogOptions{}, &b), "not_deployed")
	r.mustDeploy("good:1")
	if e := r.code(r.target.Logs(t.Context(), deploy.LogOptions{Release: "v9"}, &b), "no_release"); e.Help != "it has v1" {
		t.Error(e.Help)
	}
	if err := r.target.Logs(t.Context(), deploy.LogOptions{Release: "v1", Tail: -1}, &b); err != nil || !strings.HasPrefix(b.String(), "loading\n{") {
		t.Errorf("%q %v", b.String(), err)
	}
}

func TestDesiredIsHardened(t *testing.T) {
	con := &contract.Contract{Schema: contract.Schema, GPU: contract.GPU{Count: 2}}
	spec := &deploy.Spec{Image: "i", Contract: con, Mounts: []deploy.Mount{{Source: "/a", Target: "/b"}}, Secrets: map[string]string{"HF_TOKEN": "hush"}}
	gpu := &Target{Service: "s", Name: "local", HasGPU: true}
	d := gpu.desire(spec)
	if d.gpu != "2" || d.host.DeviceRequests[0].Count != 2 || !d.host.ReadonlyRootfs || d.host.Privileged || !slices.Equal(d.host.CapDrop, []string{"ALL"}) ||
		!slices.Equal(d.host.SecurityOpt, []string{"no-new-privileges"}) || !d.host.Mounts[1].ReadOnly || *d.host.PidsLimit == 0 || d.host.Tmpfs["/tmp"] == "" ||
		d.host.PortBindings[apiPort][0].HostIP != "127.0.0.1" || d.config.Labels[labelBaked] != "false" || *d.config.StopTimeout != 150 {
		t.Errorf("%+v %+v", d.config, d.host)
	}
	if again := gpu.desire(spec); again.hash != d.hash || strings.Contains(d.hash, "hush") {
		t.Errorf("%s %s", again.hash, d.hash)
	}
	for _, l := range d.config.Labels {
		if strings.Contains(l, "hush") {
			t.Error("a label holds a secret")
		}
	}
	spec.GPUs = []string{"0", "3"}
	if d := gpu.desire(spec); d.gpu != "0,3" || !slices.Equal(d.host.DeviceRequests[0].DeviceIDs, spec.GPUs) {
		t.Errorf("%+v", d.host.DeviceRequests)
	}
	if d := (&Target{Service: "s", Name: "l"}).desire(spec); d.gpu != "cpu" || len(d.host.DeviceRequests) != 0 {
		t.Errorf("%s %+v", d.gpu, d.host)
	}
	auth := func(host string) bool {
		return slices.Contains((&Target{}).desire(&deploy.Spec{Host: host, Contract: con}).config.Env, "COMFYCTL_AUTH=off")
	}
	if !auth("") || !auth("127.0.0.1") || !auth("::1") || !auth("localhost") || auth("0.0.0.0") || auth("192.168.0.7") {
		t.Error("auth must be off on loopback only")
	}
}

func TestCauses(t *testing.T) {
	for _, tt := range []struct{ message, code, help string }{
		{"driver failed programming external connectivity: Bind for 127.0.0.1:8080 failed: port is already allocated", "port_taken", "-p PORT"},
		{`could not select device driver "" with capabilities: [[gpu]]`, "no_gpu_runtime", "nvidia-ctk"},
		{"nvidia-container-cli: initialization error: nvml error: driver/library version mismatch", "no_gpu_runtime", "restart the machine"},
		{"OCI runtime create failed: exec: \"/opt/comfyctl/bin/comfy-runner\": exec format error", "container_start", "another processor"},
		{"invalid mount config for type \"bind\": bind source path does not exist: /x", "model_missing", "--baked"},
		{"write /var/lib/docker: No space left on device", "disk_full", "docker system df"},
		{"listen tcp4 10.1.1.1:80: bind: cannot assign requested address", "bad_host", "127.0.0.1"},
	} {
		var e *diag.Error
		if err := explainStart(errors.New(tt.message), &deploy.Spec{Port: 8080}); !errors.As(err, &e) || e.Code != tt.code || !strings.Contains(e.Help, tt.help) {
			t.Errorf("%s: %+v", tt.message, e)
		}
	}
}

func TestEngineLine(t *testing.T) {
	for in, want := range map[string]string{
		`{"level":"INFO","msg":"Total VRAM 24000 MB","source":"engine"}`: "Total VRAM 24000 MB",
		`{"level":"WARN","msg":"engine is down"}`:                        "engine is down",
		`{"level":"INFO","msg":"starting"}`:                              "",
		"Traceback (most recent call last):":                             "Traceback (most recent call last):",
		"\x1b[31mred":                                                    "\ufffd[31mred",
	} {
		if got := engineLine([]byte(in)); got != want {
			t.Errorf("%s: %q", in, got)
		}
	}
}

func facts(e *diag.Error) string {
	var b strings.Builder
	for _, f := range e.Facts {
		b.WriteString(f[0] + ": " + f[1] + "\n")
	}
	return b.String()
}
