package api

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

func TestRow31StrictJSON(t *testing.T) {
	for body, good := range map[string]bool{
		`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":2}]}`: true,
		`{"a":1,"a":1}`:                              false,
		`{"x":[{"b":{"c":1,"d":2,"c":3}}]}`:          false,
		`{"\u0061":1,"a":2}`:                         false,
		`{"a":"a","b":"a"}`:                          true,
		`{"a":{},"b":[],"c":{}}`:                     true,
		`{"a":{},"a":[]}`:                            false,
		`{"a":"\ud83d\ude00"}`:                       true,
		`{"a":"\ud83d"}`:                             false,
		`{"a":"\ude00\ud83d"}`:                       false,
		`{"a":"\\ud83d"}`:                            true,
		"{\"a\":\"\xff\"}":                           false,
		`{"a":123456789012345678901234567890e99999}`: true,
	} {
		if !json.Valid([]byte(body)) {
			t.Fatalf("%q is no JSON", body)
		}
		if p := strict([]byte(body)); (p == nil) != good {
			t.Errorf("%q: %v", body, p)
		}
	}
}

func FuzzStrict(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[1,{"a":"\ud800"}]},"a":1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) {
			return
		}
		p := strict(b)
		// What has no key twice and no odd text means the same to everybody.
		var v any
		if p == nil && json.Unmarshal(b, &v) != nil {
			// A number that float64 does not hold is no matter of ours.
			return
		}
	})
}

func TestRow16SlowBody(t *testing.T) {
	took := make(chan error, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pace(w, r, 50*time.Millisecond)
		_, err := io.ReadAll(r.Body)
		took <- err
	}))
	defer srv.Close()
	r, w := io.Pipe()
	defer w.Close()
	req, err := http.NewRequest(http.MethodPost, srv.URL, r)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		_, _ = w.Write([]byte("one byte and no more"))
	}()
	done := make(chan struct{})
	go func() {
		defer close(done)
		if resp, err := srv.Client().Do(req); err == nil {
			resp.Body.Close()
		}
	}()
	if err := <-took; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a body that does not come ends with %v", err)
	}
	w.Close()
	<-done
	// The next on the same server has its time.
	resp, err := srv.Client().Post(srv.URL, "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if err := <-took; err != nil {
		t.Error(err)
	}
}
