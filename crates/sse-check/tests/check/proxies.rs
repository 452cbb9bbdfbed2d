//! Real proxies, with settings that harm streams and with settings that don't.

use std::{fs::write, net::SocketAddr, path::Path};

use tokio::process::Command;

use crate::report::{Report, on_a_busy_machine};
use crate::server::{Step, events, serve_steps};
use crate::support::{Directory, Proxy, find, find_envoy, find_newest_nginx, find_nginx, openssl};

async fn nginx(program: &Path, server: SocketAddr, settings: &str) -> Proxy {
    Proxy::nginx(program, &format!("server {server};"), settings).await
}

async fn haproxy(program: &Path, server: SocketAddr, settings: &str, bind: &str) -> Proxy {
    let mut command = Command::new(program);
    command.arg("-f");
    Proxy::start(command, |address| {
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
             timeout server 60s\n {settings}\n\
             frontend web\n bind {address} {bind}\n default_backend app\n\
             backend app\n server one {server}\n"
        )
    })
    .await
}

async fn serve() -> SocketAddr {
    serve_steps(events(0, 99, 300)).await
}

async fn look(proxy: &Proxy, server: SocketAddr) -> Report {
    let (url, via) = (format!("http://{}/", proxy.address), format!("http://{server}/"));
    let only = "answer,start,headers,bursts,delay,changes,silence,end,lines";
    Report::of(&[&url, "--via", &via, "--for", "4s", "--only", only]).await
}

#[tokio::test]
async fn nginx_over_http_1_0_holds_back() {
    let server = serve().await;
    let newest = find_newest_nginx().map(|program| (program, "proxy_http_version 1.0;"));
    for (program, settings) in find_nginx().map(|it| (it, "")).into_iter().chain(newest) {
        let proxy = nginx(&program, server, settings).await;
        let report = look(&proxy, server).await;
        report.expect_with("delay", "fail", "and the head are held back");
        report.expect_with("delay", "fail", "/guide/nginx/");
    }
}

/// All events arrive together when the stream ends.
#[tokio::test]
async fn nginx_over_http_1_0_holds_back_to_the_end() {
    let Some(program) = find_nginx() else { return };
    let server = serve_steps(events(0, 6, 300).chain([Step::End])).await;
    let proxy = nginx(&program, server, "").await;
    let report = look(&proxy, server).await;
    report.expect_with("delay", "fail", "came together that were sent apart");
    report.expect_with("start", "warning", "/guide/nginx/");
}

#[tokio::test]
async fn nginx_passes_over_http_1_1_or_without_buffers() {
    let server = serve().await;
    let newest = find_newest_nginx().map(|program| (program, ""));
    let settings = ["proxy_http_version 1.1;", "proxy_buffering off;"];
    let older =
        find_nginx().into_iter().flat_map(|it| settings.map(|settings| (it.clone(), settings)));
    for (program, settings) in older.chain(newest) {
        let proxy = nginx(&program, server, settings).await;
        let report = look(&proxy, server).await;
        assert_eq!(report.all("pass").len(), 9, "{report}");
    }
}

/// nginx's compressor flushes only if nginx does not buffer.
#[tokio::test]
async fn nginx_with_gzip_holds_back_unless_it_does_not_buffer() {
    let Some(program) = find_nginx() else { return };
    let server = serve().await;
    let gzip = "proxy_http_version 1.1; gzip on; gzip_types text/event-stream; gzip_proxied any; \
                gzip_min_length 0;";
    let report = look(&nginx(&program, server, gzip).await, server).await;
    report.expect_with("delay", "fail", "/guide/nginx/");
    let gzip = format!("{gzip} proxy_buffering off;");
    let report = look(&nginx(&program, server, &gzip).await, server).await;
    report.expect_with("headers", "warning", "compressed by \"gzip\"");
    report.expect("delay", "pass");
    report.expect_with("changes", "pass", "content-encoding: no content-encoding became \"gzip\"");
}

#[tokio::test]
async fn idle_limits_of_nginx_and_haproxy_are_found() {
    let server = serve_steps(
        [events(0, 1, 0), events(1, 1, 0)]
            .into_iter()
            .flatten()
            .chain([Step::At(20_000), Step::Cut]),
    );
    let server = server.await;
    if let Some(program) = find_nginx() {
        let limit = "proxy_http_version 1.1; proxy_read_timeout 2s;";
        let report = look(&nginx(&program, server, limit).await, server).await;
        report.expect_with("silence", "fail", "the stream was cut after");
        report.expect_with("end", "fail", "is still open");
    }
    if let Some(program) = find(&["haproxy"]) {
        let limit = "option http-no-delay\n timeout server 2s";
        let report = look(&haproxy(&program, server, limit, "").await, server).await;
        report.expect("silence", "fail");
        report.expect_with("end", "fail", "is still open");
    }
}

#[tokio::test]
async fn haproxy_without_no_delay_is_late() {
    let Some(program) = find(&["haproxy"]) else { return };
    let server = serve().await;
    // The delay is compared with how long connecting took, which varies.
    on_a_busy_machine(async || {
        let report = look(&haproxy(&program, server, "", "").await, server).await;
        report.expect_with("delay", "fail", "events come late");
        report.expect_with("delay", "fail", "/guide/other_proxies/#haproxy");
        let no_delay = "option http-no-delay";
        let report = look(&haproxy(&program, server, no_delay, "").await, server).await;
        assert_eq!(report.all("pass").len(), 9, "{report}");
    })
    .await;
}

#[tokio::test]
async fn caddy_passes() {
    let Some(caddy) = find(&["caddy"]) else { return };
    let server = serve().await;
    let mut command = Command::new(caddy);
    command.args(["run", "--adapter", "caddyfile", "--config"]);
    let proxy = Proxy::start(command, |address| {
        let (ip, port) = (address.ip(), address.port());
        format!(
            "{{\n admin off\n auto_https off\n}}\n\
             http://:{port} {{\n bind {ip}\n reverse_proxy {server}\n}}\n"
        )
    });
    let report = look(&proxy.await, server).await;
    assert_eq!(report.all("pass").len(), 9, "{report}");
}

#[tokio::test]
async fn limit_of_response_in_envoy_is_found() {
    let Some(envoy) = find_envoy() else { return };
    let server = serve().await;
    for (limit, verdict) in [("2s", "fail"), ("0s", "pass")] {
        let mut command = Command::new(&envoy);
        command.args(["--use-dynamic-base-id", "--concurrency", "1", "-c"]);
        let proxy = Proxy::start(command, |address| envoy_with(address, server, limit)).await;
        let report = look(&proxy, server).await;
        report.expect("end", verdict);
        report.expect("delay", "pass");
        if verdict == "fail" {
            report.expect_with("end", "fail", "is still open");
        }
    }
}

fn envoy_with(address: SocketAddr, server: SocketAddr, limit: &str) -> String {
    let manager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3\
                   .HttpConnectionManager";
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let socket = |it: SocketAddr| format!("{{ address: {}, port_value: {} }}", it.ip(), it.port());
    let (address, server) = (socket(address), socket(server));
    format!(
        "static_resources:
  listeners:
  - address: {{ socket_address: {address} }}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          '@type': {manager}
          stat_prefix: http
          http_filters: [{{ name: router, typed_config: {{ '@type': {router} }} }}]
          route_config:
            virtual_hosts:
            - name: app
              domains: ['*']
              routes: [{{ match: {{ prefix: / }}, route: {{ cluster: app, timeout: {limit} }} }}]
  clusters:
  - name: app
    load_assignment:
      cluster_name: app
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {server} }} }} }}] }}]
"
    )
}

#[tokio::test]
async fn tls_with_http_2_needs_a_trusted_certificate() {
    let (Some(_), Some(program)) = (find(&["openssl"]), find(&["haproxy"])) else { return };
    let directory = Directory::new("certificate");
    openssl::site(directory.path());
    let file = |name| directory.path().join(name);
    let both = ["site.crt", "site.key"].map(|name| std::fs::read(file(name)).unwrap()).concat();
    write(file("site.pem"), both).unwrap();
    let bind = format!("ssl crt {} alpn h2,http/1.1", file("site.pem").display());
    let server = serve().await;
    let proxy = haproxy(&program, server, "option http-no-delay", &bind).await;
    let url = format!("https://localhost:{}/", proxy.address.port());
    let report = Report::text(&[&url, "--for", "1s"]).await;
    assert_eq!(report.code, 2);
    assert!(report.error.contains("invalid peer certificate"), "{report}");
    let certificate = file("site.crt");
    for (option, version) in
        [("--json", "HTTP/2.0"), ("--http2", "HTTP/2.0"), ("--http1", "HTTP/1.1")]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sse-check"));
        command.env("SSL_CERT_FILE", &certificate).args([&url, "--for", "1s", option]);
        let output = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
        assert!(output.contains(version), "{option}: {output}");
    }
}
