// Runs a proxy in Go in front of an origin: gateway NAME ADDRESS ORIGIN
package main

import (
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"

	"github.com/gin-gonic/gin"
)

func main() {
	target, err := url.Parse(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	var handler http.Handler = httputil.NewSingleHostReverseProxy(target)
	if os.Args[1] == "gin" {
		gin.SetMode(gin.ReleaseMode)
		engine := gin.Default()
		engine.Any("/*path", gin.WrapH(handler))
		handler = engine
	}
	log.Fatal(http.ListenAndServe(os.Args[2], handler))
}
