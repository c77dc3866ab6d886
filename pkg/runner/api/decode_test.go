package api

import (
	"net/http/httptest"
	"testing"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
)

func bare() *API {
	a := &API{}
	a.state.Store(&state{contract: &contract.Contract{}})
	return a
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"input":{"a":1},"outputs":{"mode":"data"},"queue":{"priority":1,"max_wait_s":0.5},"metadata":{"k":"v"}}`))
	f.Add([]byte(`{"queue":{"timeout_s":1e308},"webhook":null}`))
	f.Add([]byte("[[[[\"\\\""))
	a := bare()
	f.Fuzz(func(t *testing.T, b []byte) {
		req, p := a.decode(b)
		if (req == nil) == (p == nil) {
			t.Fatalf("%v and %v", req, p)
		}
		if p == nil && (req.MaxWait < 0 || req.Timeout < 0 || len(req.hash) != 64) {
			t.Errorf("%q became %+v", b, req)
		}
	})
}

func FuzzKeys(f *testing.F) {
	f.Add("me:admin ck_1\n# a comment\nyou sha256:00\n")
	f.Fuzz(func(t *testing.T, text string) {
		var k, again Keys
		if k.Add(text) != nil {
			return
		}
		if err := again.Add(k.Lines()); err != nil || len(again.list) != len(k.list) {
			t.Errorf("%q is written as %q: %v", text, k.Lines(), err)
		}
	})
}

func TestPrefer(t *testing.T) {
	for header, want := range map[string]time.Duration{
		"": time.Minute, "respond-async": 0, "wait=5": 5 * time.Second, "respond-async, wait=5": 5 * time.Second, "WAIT=7": 7 * time.Second,
		"wait=0": 0, "wait=99999": 10 * time.Minute, "wait=x": time.Minute, "return=minimal": time.Minute,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		if header != "" {
			r.Header.Set("Prefer", header)
		}
		if got := prefer(r); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestGeneratedKey(t *testing.T) {
	var k Keys
	text, err := k.Generate("first", "admin")
	if err != nil || len(text) < 40 || text[:3] != "ck_" {
		t.Fatalf("%q %v", text, err)
	}
	if got, ok := k.find(text); !ok || !got.admin() || got.name != "first" {
		t.Errorf("%+v %v", got, ok)
	}
	if _, ok := k.find(text + "x"); ok {
		t.Error("another key is let in")
	}
}
