// Package git brings the files of a commit to this machine with the system's
// git: fetched shallowly into a bare repository of our own, written out blob by
// blob with submodules and Git LFS files in place, and identified by commit and
// tree hash. Nothing of a fetched repository runs: there is no checkout, so no
// hook, filter or attribute of it applies.
package git
