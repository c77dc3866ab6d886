package tee

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestCopyStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Copy(ctx, strings.NewReader("x"), nil, io.Discard); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	boom := errors.New("boom")
	if err := Copy(t.Context(), iotest.ErrReader(boom), nil, io.Discard); !errors.Is(err, boom) {
		t.Errorf("reader: %v", err)
	}
	r, w := io.Pipe()
	_ = r.CloseWithError(boom)
	if err := Copy(t.Context(), strings.NewReader("x"), nil, w); !errors.Is(err, boom) {
		t.Errorf("writer: %v", err)
	}
}
