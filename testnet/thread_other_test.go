//go:build !linux

package testnet

import "syscall"

func lockThread() {}

func dieWithParent() *syscall.SysProcAttr { return nil }
