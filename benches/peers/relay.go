// A relay by ReverseProxy of Go's standard library, which flushes event streams at once.
//
// `relay_go UPSTREAM`, where UPSTREAM is an address.
package main

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
)

func main() {
	upstream := &url.URL{Scheme: "http", Host: os.Args[1]}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("listening on %s\n", listener.Addr())
	// Ends the relay together with the benchmark.
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	log.Fatal(http.Serve(listener, httputil.NewSingleHostReverseProxy(upstream)))
}
