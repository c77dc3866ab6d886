package term

import (
	"bufio"
	"context"
	"fmt"
	"strings"
)

// Ask puts a question on stderr and reads one line. It must only be called
// where Interactive is true. An ended input is an empty answer.
func (c *Console) Ask(ctx context.Context, question string) (string, error) {
	c.mu.Lock()
	_, err := fmt.Fprint(c.Err, question+" ")
	c.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("asking: %w", err)
	}
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := bufio.NewReader(c.in).ReadString('\n')
		got <- answer{text, err}
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case a := <-got:
		// An end of input after some text is still an answer.
		return strings.TrimSpace(a.text), nil
	}
}

// Confirm asks a yes-or-no question whose default is no.
func (c *Console) Confirm(ctx context.Context, question string) (bool, error) {
	text, err := c.Ask(ctx, question+" [y/N]")
	if err != nil {
		return false, err
	}
	text = strings.ToLower(text)
	return text == "y" || text == "yes", nil
}
