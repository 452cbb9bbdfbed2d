#!/usr/bin/env bash
# go-redis 9.23.0 sends a PUBLISH again whose reply is lost, up to three times, and reports success: Redis took it the first
# time, so subscribers get the message twice or more. Commands that change something aren't told from those that only read.
# With `MaxRetries: -1`, the same call reports EOF instead.
# Seen on 1 December 2026, behind a relay that drops the first two replies to PUBLISH: three messages and no error by default,
# one message and "EOF" with -1.
set -euo pipefail

folder=$(mktemp --directory)
trap 'kill "${redis:-}" 2>/dev/null || true; rm -rf "$folder"' EXIT
cd "$folder"
export GOFLAGS=-mod=mod GOTOOLCHAIN=local
cat >go.mod <<'END'
module publish

go 1.24

require github.com/redis/go-redis/v9 v9.23.0
END
cat >main.go <<'END'
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

var losses atomic.Int32

// relay passes requests, and cuts the connection in place of a reply to PUBLISH while there are losses left.
func relay(client net.Conn, socket string) {
	server, err := net.Dial("unix", socket)
	if err != nil {
		panic(err)
	}
	var isPublish atomic.Bool
	go func() {
		part := make([]byte, 4096)
		for {
			n, err := client.Read(part)
			if err != nil {
				server.Close()
				return
			}
			isPublish.Store(bytes.Contains(bytes.ToLower(part[:n]), []byte("publish")))
			server.Write(part[:n])
		}
	}()
	part := make([]byte, 4096)
	for {
		n, err := server.Read(part)
		if err != nil || (isPublish.Load() && losses.Add(-1) >= 0) {
			client.Close()
			return
		}
		client.Write(part[:n])
	}
}

func main() {
	socket, ctx := os.Args[1], context.Background()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go relay(client, socket)
		}
	}()
	direct := redis.NewClient(&redis.Options{Network: "unix", Addr: socket})
	for _, retries := range []int{0, -1} { // 0 is the default
		subscription := direct.Subscribe(ctx, "news")
		if _, err := subscription.Receive(ctx); err != nil {
			panic(err)
		}
		publisher := redis.NewClient(&redis.Options{Addr: listener.Addr().String(), MaxRetries: retries})
		if err := publisher.Ping(ctx).Err(); err != nil {
			panic(err)
		}
		losses.Store(2)
		err := publisher.Publish(ctx, "news", "one").Err()
		direct.Publish(ctx, "news", "last")
		messages := 0
		for message := range subscription.Channel() {
			if message.Payload == "last" {
				break
			}
			messages++
		}
		fmt.Printf("MaxRetries %d: %d messages, error %v\n", retries, messages, err)
		subscription.Close()
	}
}
END
go build -o publish . 2>build.log || { cat build.log; exit 1; }
redis-server --port 0 --unixsocket "$folder/redis.sock" --save '' --appendonly no >redis.log &
redis=$!
until [ -S redis.sock ]; do sleep 0.05; done
timeout 60 ./publish "$folder/redis.sock" | tee output
printf 'MaxRetries 0: 3 messages, error <nil>\nMaxRetries -1: 1 messages, error EOF\n' | cmp - output
