// The clients of Go: `clients CLIENT SITUATION=URL...` prints a line of JSON for each event, and one when the client returns.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	donovanhide "github.com/donovanhide/eventsource"
	launchdarkly "github.com/launchdarkly/eventsource"
	"github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

var lock sync.Mutex

func write(line map[string]any) {
	lock.Lock()
	defer lock.Unlock()
	_ = json.NewEncoder(os.Stdout).Encode(line)
}

func event(at, name, data string) {
	short := data[:min(len(data), 40)]
	write(map[string]any{"at": at, "event": name, "data": short, "size": len(data)})
}

func over(at string, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	write(map[string]any{"at": at, "over": text})
}

// r3labs, as in its first example.
func r3labs(at, url string) {
	client := sse.NewClient(url)
	over(at, client.Subscribe("", func(it *sse.Event) { event(at, string(it.Event), string(it.Data)) }))
}

// The same client in a loop, so that it keeps the last id.
func r3labsLoop(at, url string) {
	client := sse.NewClient(url, sse.ClientMaxBufferSize(1<<24))
	for {
		_ = client.Subscribe("", func(it *sse.Event) { event(at, string(it.Event), string(it.Data)) })
		time.Sleep(2 * time.Second)
	}
}

func goSse(at, url string, isSet bool) {
	request, _ := http.NewRequest(http.MethodGet, url, nil)
	if isSet {
		request.Header.Set("Cache-Control", "no-cache")
	}
	connection := gosse.NewConnection(request)
	if isSet {
		connection.Buffer(nil, 1<<24)
	}
	connection.SubscribeToAll(func(it gosse.Event) { event(at, it.Type, it.Data) })
	for {
		err := connection.Connect()
		if !isSet {
			over(at, err)
			return
		}
		time.Sleep(2 * time.Second)
	}
}

// The program of docs/clients.md, which the build puts beside this file.
func launchDarklySet(at, url string) {
	over(at, follow(url, func(data string) { event(at, "", data) }, func() { event(at, "gap", "") }))
}

func launchDarkly(at, url string) {
	stream, err := launchdarkly.SubscribeWithURL(url)
	if err != nil {
		over(at, err)
		return
	}
	// The client hangs if nothing reads the errors.
	for {
		select {
		case it := <-stream.Events:
			event(at, it.Event(), it.Data())
		case <-stream.Errors:
		}
	}
}

// The same client, whose errors are not read.
func launchDarklyUnread(at, url string) {
	stream, err := launchdarkly.SubscribeWithURL(url)
	if err != nil {
		over(at, err)
		return
	}
	for it := range stream.Events {
		event(at, it.Event(), it.Data())
	}
}

func donovanHide(at, url string) {
	stream, err := donovanhide.Subscribe(url, "")
	if err != nil {
		over(at, err)
		return
	}
	for {
		select {
		case it := <-stream.Events:
			event(at, it.Event(), it.Data())
		case <-stream.Errors:
		}
	}
}

// No library: one response, as in many programs.
func scanner(at, url string, client *http.Client, buffer int) {
	request, _ := http.NewRequest(http.MethodGet, url, nil)
	request.Header.Set("Accept", "text/event-stream")
	response, err := client.Do(request)
	if err != nil {
		over(at, err)
		return
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		over(at, fmt.Errorf("status %d", response.StatusCode))
		return
	}
	lines := bufio.NewScanner(response.Body)
	if buffer > 0 {
		lines.Buffer(nil, buffer)
	}
	for lines.Scan() {
		if data, found := strings.CutPrefix(lines.Text(), "data:"); found {
			event(at, "", strings.TrimPrefix(data, " "))
		}
	}
	over(at, lines.Err())
}

func run(client, at, url string) {
	switch client {
	case "r3labs":
		r3labs(at, url)
	case "r3labs, set":
		r3labsLoop(at, url)
	case "go-sse":
		goSse(at, url, false)
	case "go-sse, set":
		goSse(at, url, true)
	case "launchdarkly":
		launchDarkly(at, url)
	case "launchdarkly, set":
		launchDarklySet(at, url)
	case "launchdarkly, unread":
		launchDarklyUnread(at, url)
	case "donovanhide":
		donovanHide(at, url)
	case "scanner":
		scanner(at, url, http.DefaultClient, 0)
	case "scanner, timeout":
		scanner(at, url, &http.Client{Timeout: 15 * time.Second}, 1<<24)
	default:
		panic("no client " + client)
	}
}

func main() {
	for _, situation := range os.Args[2:] {
		at, url, _ := strings.Cut(situation, "=")
		go run(os.Args[1], at, url)
	}
	select {}
}
