package validate

import (
	"strconv"
	"strings"
	"time"

	"github.com/comfyctl/comfyctl/pkg/contract"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// Defaults are the values that count where the service file sets none, as the
// image's contract has them.
func (p *Plan) Defaults() []service.Default {
	if p.Service == nil {
		return nil
	}
	r := runner(p.Service.Runner)
	list := []service.Default{
		{Pointer: "/runner/port", Value: strconv.Itoa(r.Port)},
		{Pointer: "/runner/warmup", Value: strconv.FormatBool(r.Warmup)},
		{Pointer: "/runner/playground", Value: strconv.FormatBool(r.Playground)},
		{Pointer: "/runner/queue/max", Value: strconv.Itoa(r.Queue.Max)},
		{Pointer: "/runner/timeouts/start", Value: duration(r.Timeouts.StartMS)},
		{Pointer: "/runner/timeouts/queue", Value: duration(r.Timeouts.QueueMS)},
		{Pointer: "/runner/timeouts/job", Value: duration(r.Timeouts.JobMS)},
		{Pointer: "/runner/timeouts/stall", Value: duration(r.Timeouts.StallMS)},
		{Pointer: "/runner/timeouts/drain", Value: duration(r.Timeouts.DrainMS)},
		{Pointer: "/runner/limits/body", Value: size(r.Limits.Body)},
		{Pointer: "/runner/limits/file", Value: size(r.Limits.File)},
		{Pointer: "/runner/limits/pixels", Value: strconv.FormatInt(r.Limits.Pixels, 10)},
		{Pointer: "/runner/limits/json_depth", Value: strconv.Itoa(r.Limits.JSONDepth)},
		{Pointer: "/runner/urls/max_size", Value: size(r.URLs.MaxSize)},
		{Pointer: "/runner/urls/timeout", Value: duration(r.URLs.TimeoutMS)},
		{Pointer: "/runner/retention/jobs", Value: duration(r.RetentionMS)},
	}
	if p.Catalog != nil {
		list = append(list, service.Default{Pointer: "/comfyui", Value: p.Catalog.Version})
	}
	for i := range p.Service.Models {
		list = append(list, service.Default{Pointer: "/models/" + strconv.Itoa(i) + "/load", Value: contract.LoadBake})
	}
	return list
}

// duration writes milliseconds as the service file does.
func duration(ms int64) string {
	d := time.Duration(ms) * time.Millisecond
	if d >= time.Minute && d%time.Minute == 0 {
		text := strings.TrimSuffix(d.String(), "0s")
		if d%time.Hour == 0 {
			text = strings.TrimSuffix(text, "0m")
		}
		return text
	}
	return d.String()
}

// size writes bytes as the service file does.
func size(n int64) string {
	for _, u := range []struct {
		name string
		size int64
	}{{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}} {
		if n >= u.size && n%u.size == 0 {
			return strconv.FormatInt(n/u.size, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10) + "B"
}
