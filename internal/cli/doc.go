// Package cli is comfyctl's command line: one file a verb. It parses, calls
// the packages that do the work, prints, and maps errors to exit codes.
//
// A verb is an XOptions struct, newXCmd(app, run) that fills it from flags, and
// runX(ctx, app, options) that does it. Its result goes to stdout, its story to
// stderr; with -o json the result is one envelope, also when it failed.
package cli
