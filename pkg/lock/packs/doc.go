// Package packs looks into node packs on this machine without running them:
// which classes they define, what they require, and what their scripts would
// do. It also unpacks archives and names folders by a hash of their files.
package packs
