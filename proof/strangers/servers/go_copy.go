// An echo server as in the documentation of Go's package net: one goroutine per client, io.Copy,
// and the program ends if Accept fails.
//
// Usage:  go_copy HOST:PORT
package main

import (
	"io"
	"log"
	"net"
	"os"
)

func main() {
	listener, err := net.Listen("tcp", os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	for {
		client, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			defer client.Close()
			io.Copy(client, client)
		}()
	}
}
