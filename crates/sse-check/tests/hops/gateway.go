// Runs a proxy in Go in front of an origin: gateway NAME ADDRESS ORIGIN
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

func inGin(engine *gin.Engine, handler http.Handler) http.Handler {
	engine.Any("/*path", gin.WrapH(handler))
	return engine
}

func main() {
	target, err := url.Parse(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	gin.SetMode(gin.ReleaseMode)
	limit := 8 * time.Second
	proxy := httputil.NewSingleHostReverseProxy(target)
	var handler http.Handler = proxy
	server := &http.Server{Addr: os.Args[2]}
	switch os.Args[1] {
	case "gin":
		handler = inGin(gin.Default(), handler)
	case "gin-new":
		handler = inGin(gin.New(), handler)
	case "timeout-handler":
		handler = http.TimeoutHandler(handler, limit, "")
	case "write-timeout":
		server.WriteTimeout = limit
	case "no-write-deadline":
		server.WriteTimeout = limit
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).SetWriteDeadline(time.Time{})
			proxy.ServeHTTP(w, r)
		})
	case "http3":
		// Without a configuration, the transport sends PINGs. Many clients send none.
		proxy.Transport = &http3.Transport{QUICConfig: &quic.Config{}}
	case "chi-timeout":
		router := chi.NewRouter()
		router.Use(middleware.Timeout(limit))
		router.Handle("/*", handler)
		handler = router
	}
	server.Handler = handler
	log.Fatal(server.ListenAndServe())
}
