package validate

import (
	"net/netip"

	"github.com/comfyctl/comfyctl/internal/diag"
	"github.com/comfyctl/comfyctl/pkg/service"
)

// access checks who may call, and whether callees can tell.
func (l *loader) access() {
	s := l.plan.Service
	if s.Auth != nil && s.Auth.None {
		d := diag.Diagnostic{Code: "CS002", Severity: diag.SeverityWarning, Label: "anyone may call", Help: "write `auth: [{ type: api-key }]`, or let in only networks of your own with the target's `allow:`"}
		for _, t := range s.Targets {
			if !public(t) {
				continue
			}
			at := "/targets/" + escape(t.Name)
			if d.Message == "" {
				d.Message = "`auth: none` with the public target `" + t.Name + "`"
			}
			d.Related = append(d.Related, diag.Related{Span: s.KeyAt(at), Label: "reachable by anyone"})
		}
		if d.Message != "" {
			l.at("/auth", d)
		}
	}
	if s.Has("/runner/webhooks") && s.Runner.Webhooks.Secret == "" {
		l.key("/runner/webhooks", diag.Diagnostic{Code: "CS003", Severity: diag.SeverityWarning, Message: "webhooks are not signed", Label: "no `secret` here",
			Help: "write `secret: WEBHOOK_SECRET` and list the name under `secrets:`"})
	}
}

// public reports whether strangers may reach a target: a public name, or a
// machine of its own that does not keep them out. Docker binds to this machine.
func public(t service.Target) bool {
	if t.Type == "docker" {
		return t.Domain != ""
	}
	if len(t.Allow) == 0 {
		return true
	}
	for _, a := range t.Allow {
		p, err := netip.ParsePrefix(a)
		if err != nil {
			addr, err := netip.ParseAddr(a)
			if err != nil {
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if !private(p.Addr()) || p.Bits() < 7 {
			return true
		}
	}
	return false
}

// private reports whether an address means something in one network only.
func private(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() || a.IsUnspecified() || shared.Contains(a)
}

// shared is the address space of carriers and of VPNs such as Tailscale.
var shared = netip.MustParsePrefix("100.64.0.0/10")
