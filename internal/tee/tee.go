// Package tee copies a stream to several writers at once.
package tee

import (
	"context"
	"io"
	"sync"
)

// chunk is how much is read ahead of the hashes.
const chunk = 1 << 20

// Copy copies r to all writers at once, each on its own core, while the next
// piece is read.
func Copy(ctx context.Context, r io.Reader, progress func(done int64), writers ...io.Writer) error {
	type piece struct {
		b   []byte
		err error
	}
	free, full := make(chan []byte, 2), make(chan piece, 1)
	free <- make([]byte, chunk)
	free <- make([]byte, chunk)
	stop := make(chan struct{})
	var reading sync.WaitGroup
	reading.Go(func() {
		for {
			select {
			case b := <-free:
				n, err := io.ReadFull(r, b[:chunk])
				select {
				case full <- piece{b[:n], err}:
				case <-stop:
					return
				}
				if err != nil {
					return
				}
			case <-stop:
				return
			}
		}
	})
	defer reading.Wait()
	defer close(stop)
	var done int64
	for {
		var p piece
		select {
		case p = <-full:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := fanOut(p.b, writers); err != nil {
			return err
		}
		done += int64(len(p.b))
		if progress != nil {
			progress(done)
		}
		switch p.err {
		case nil:
			free <- p.b
		case io.EOF, io.ErrUnexpectedEOF: //nolint:errorlint // io.ReadFull gives them bare
			return nil
		default:
			return p.err
		}
	}
}

func fanOut(b []byte, writers []io.Writer) error {
	errs := make([]error, len(writers))
	var wg sync.WaitGroup
	for i, w := range writers {
		wg.Go(func() { _, errs[i] = w.Write(b) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
