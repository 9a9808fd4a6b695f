//go:build !linux

package main

import "runtime/debug"

// giveBack returns to the system what the start needed and the running platform
// does not.
func giveBack() { debug.FreeOSMemory() }
