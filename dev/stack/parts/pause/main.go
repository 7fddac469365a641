// Command pause is the sandbox container of every pod of the local stack, and
// the two ends of the stack's own network check.
//
//	pause             sleep until told to stop
//	pause serve :8080 accept connections
//	pause dial a:p    connect once, exit 0 or 1
package main

import (
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	args := os.Args[1:]
	switch {
	case len(args) == 2 && args[0] == "dial":
		connection, err := net.DialTimeout("tcp", args[1], 2*time.Second)
		if err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		_ = connection.Close()
		return
	case len(args) == 2 && args[0] == "serve":
		go serve(args[1])
	}
	wait := make(chan os.Signal, 1)
	signal.Notify(wait, syscall.SIGTERM, syscall.SIGINT)
	<-wait
}

func serve(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	for {
		connection, err := listener.Accept()
		if err != nil {
			return
		}
		_ = connection.Close()
	}
}
