// An echo server as the documentation of Go's package net shows one: a goroutine for each client,
// io.Copy, and the end of the program when Accept fails.
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
