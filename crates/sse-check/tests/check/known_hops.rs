//! Real hops: the verdicts are what was measured with other tools before `sse-check hop` existed.
//! `.ci/slow hops` installs them. Each test prints a row for the record.

use std::path::Path;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::report::Report;
use crate::support::{Proxy, find, find_newest_nginx, find_nginx, free_port, target};

/// What a client's leaving does: on a silent stream, and on one with events.
type Left = [bool; 2];

/// Starts a hop by the lines of a shell script, which get its address and port and those of the
/// origin, and looks at it.
async fn look(
    name: &str,
    script: impl FnOnce(&str, u16, &str, u16) -> String,
    options: &str,
) -> Report {
    let origin = free_port();
    let origin_address = format!("127.0.0.1:{origin}");
    let hop = Proxy::start(Command::new("sh"), |address| {
        script(&address.to_string(), address.port(), &origin_address, origin)
    });
    let hop = hop.await;
    let url = format!("http://{}/events", hop.address);
    let arguments = ["hop", &url, "--origin", &origin_address].into_iter();
    let arguments: Vec<_> = arguments.chain(options.split_whitespace()).collect();
    let report = Report::of(&arguments).await;
    print_row(name, &report);
    report
}

const COLUMNS: [&str; 14] = [
    "passes",
    "passes_bare",
    "held_bytes",
    "compressed",
    "head_needs_byte",
    "post",
    "request_headers",
    "response_headers",
    "origin_version",
    "cut",
    "left_after_ms",
    "idle_limit_s",
    "streams",
    "down_status",
];

fn print_row(name: &str, report: &Report) {
    let cells = COLUMNS.map(|column| match report.value(column) {
        Value::Object(values) => values.values().map(cell).collect::<Vec<_>>().join(" / "),
        Value::Array(values) if values.is_empty() => "kept".to_owned(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join(", "),
        value => cell(value),
    });
    println!("| {name} | {} |", cells.join(" | "));
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string().replace("null", "-"), str::to_owned)
}

/// Expects these values of verdicts, and whether a client's leaving is noticed.
#[track_caller]
fn expect(report: &Report, values: &Value, left: Left) {
    for (name, value) in values.as_object().unwrap() {
        assert_eq!(report.value(name), value, "{name}: {report}");
    }
    let noticed = ["quiet", "busy"].map(|kind| report.value("left_after_ms")[kind].is_u64());
    assert_eq!(noticed, left, "left_after_ms: {report}");
}

/// Expects that a silent stream is cut after about this many seconds, and returns the time.
#[track_caller]
fn limit(report: &Report, seconds: u32) -> Value {
    let limit = report.value("idle_limit_s");
    let after = limit.as_f64().unwrap_or_default() - f64::from(seconds);
    assert!((-0.5..4.5).contains(&after), "{report}");
    limit.clone()
}

/// Returns the values of a hop that passes each event and each cut on.
fn right(down_status: u16, head_needs_byte: bool) -> Value {
    json!({ "passes": true, "passes_bare": true, "held_bytes": 0, "compressed": "no", "post": true,
        "head_needs_byte": head_needs_byte, "cut": { "fin": "cut", "reset": "cut" },
        "request_headers": [], "idle_limit_s": null, "down_status": down_status })
}

/// Returns the values with these in place of theirs.
fn but(mut values: Value, others: &Value) -> Value {
    let others = others.as_object().unwrap().clone();
    values.as_object_mut().unwrap().extend(others);
    values
}

async fn look_at_node(name: &str, options: &str) -> Option<Report> {
    find(&["node"])?;
    let packages = target("npm-hops/node_modules");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hops/development.mjs");
    let command = |_: &str, port: u16, origin: &str, _: u16| {
        let (packages, script) = (packages.display(), script.display());
        format!("PACKAGES={packages} exec node {script} {name} {port} http://{origin}\n")
    };
    Some(look(name, command, options).await)
}

async fn look_at_go(name: &str) -> Report {
    let gateway = target("gateway/gateway");
    let command = |address: &str, _: u16, origin: &str, _: u16| {
        format!("exec {} {name} {address} http://{origin}\n", gateway.display())
    };
    look(name, command, "--for 5s").await
}

/// Starts a program with its configuration in a file.
fn with_file(command: &str, configuration: &str) -> String {
    format!("cat > file <<'END'\n{configuration}\nEND\nexec {command}\n")
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn vite_keeps_streams_of_a_dead_server_open() {
    let Some(report) = look_at_node("vite", "--for 5s").await else { return };
    let open = json!({ "cut": { "fin": "open", "reset": "open" } });
    expect(&report, &but(right(502, true), &open), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn webpack_dev_server_compresses_and_adds_text() {
    let Some(report) = look_at_node("webpack-dev-server", "--for 5s").await else { return };
    let faults = json!({ "passes_bare": false, "compressed": "bare", "held_bytes": null,
        "cut": { "fin": "cut", "reset": "text" } });
    expect(&report, &but(right(504, true), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn http_proxy_middleware_adds_text() {
    let Some(report) = look_at_node("http-proxy-middleware", "--for 5s").await else { return };
    let text = json!({ "cut": { "fin": "cut", "reset": "text" } });
    expect(&report, &but(right(504, true), &text), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn http_proxy_middleware_2_never_leaves() {
    let Some(report) = look_at_node("http-proxy-middleware-2", "--for 5s").await else { return };
    let text = json!({ "cut": { "fin": "open", "reset": "text" } });
    expect(&report, &but(right(504, true), &text), [false, false]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn httpxy_cuts() {
    let Some(report) = look_at_node("httpxy", "--for 5s").await else { return };
    expect(&report, &right(502, true), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn next_compresses_cuts_at_30_s_and_adds_text() {
    let Some(report) = look_at_node("next", "--for 35s").await else { return };
    let faults = json!({ "passes_bare": false, "compressed": "bare", "held_bytes": null,
        "cut": { "fin": "cut", "reset": "text" }, "idle_limit_s": limit(&report, 30) });
    expect(&report, &but(right(500, true), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn reverse_proxy_of_go_cuts() {
    expect(&look_at_go("httputil").await, &right(502, false), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn gin_makes_half_an_answer_whole() {
    let clean = json!({ "cut": { "fin": "clean", "reset": "clean" } });
    expect(&look_at_go("gin").await, &but(right(502, false), &clean), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn vertx_carries_five_streams() {
    let Some(java) = find(&["java"]) else { return };
    let packages = target("vertx/lib/*");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hops/Gateway.java");
    let command = |_: &str, port: u16, _: &str, origin: u16| {
        let (java, packages) = (java.display(), packages.display());
        format!("exec {java} -cp '{packages}' {} {port} {origin}\n", script.display())
    };
    let report = look("vertx-http-proxy 5.2.3", command, "--for 5s").await;
    expect(&report, &but(right(502, true), &json!({ "streams": 5 })), [true, true]);
}

async fn look_at_lighttpd(name: &str, setting: &str) -> Report {
    let command = |_: &str, port: u16, _: &str, origin: u16| {
        with_file(
            "lighttpd -D -f file",
            &format!(
                "server.modules = (\"mod_proxy\")\nserver.document-root = \"/tmp\"\n\
                 server.bind = \"127.0.0.1\"\nserver.port = {port}\n{setting}\n\
                 proxy.server = (\"\" => ((\"host\" => \"127.0.0.1\", \"port\" => {origin})))"
            ),
        )
    };
    look(name, command, "--for 5s").await
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn lighttpd_holds_whole_answers_back_and_makes_half_ones_whole() {
    let report = look_at_lighttpd("lighttpd 1.4.69", "").await;
    let faults = json!({ "passes": false, "passes_bare": false, "held_bytes": null, "post": false,
        "cut": { "fin": "clean", "reset": "status" } });
    let mut values = but(right(503, true), &faults);
    // The notes have no value for a reset.
    values["cut"]["reset"] = report.value("cut")["reset"].clone();
    expect(&report, &values, [false, false]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn lighttpd_passes_with_its_setting() {
    let setting = "server.stream-response-body = 1";
    let report = look_at_lighttpd("lighttpd 1.4.69, stream-response-body = 1", setting).await;
    expect(&report, &right(503, false), [false, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn h2o_makes_half_an_answer_whole_and_cuts_at_30_s() {
    let command = |_: &str, port: u16, origin: &str, _: u16| {
        let listen = format!("listen: {{ host: 127.0.0.1, port: {port} }}\nuser: root\n");
        let path = format!("\"/\": {{ proxy.reverse.url: \"http://{origin}/\" }}");
        with_file(
            "h2o -c file",
            &format!("{listen}hosts: {{ default: {{ paths: {{ {path} }} }} }}"),
        )
    };
    let report = look("h2o 2.2.5", command, "--for 35s").await;
    let faults =
        json!({ "cut": { "fin": "clean", "reset": "cut" }, "idle_limit_s": limit(&report, 30) });
    expect(&report, &but(right(502, true), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn caddy_of_debian_makes_half_an_answer_whole() {
    let command = |_: &str, port: u16, origin: &str, _: u16| {
        with_file(
            "caddy run --adapter caddyfile --config file",
            &format!(
                "{{\n admin off\n auto_https off\n}}\n\
                 http://:{port} {{\n bind 127.0.0.1\n reverse_proxy {origin}\n}}"
            ),
        )
    };
    let report = look("Caddy 2.6.2", command, "--for 5s").await;
    let clean = json!({ "cut": { "fin": "clean", "reset": "clean" } });
    expect(&report, &but(right(502, false), &clean), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn varnish_hides_cache_control_and_cuts_at_60_s() {
    let command = |address: &str, _: u16, origin: &str, _: u16| {
        format!("exec varnishd -F -a {address} -b {origin} -n $PWD/varnish -T none -s malloc,16m\n")
    };
    let report = look("Varnish 7.1.1", command, "--for 65s").await;
    let headers = ["cache-control: \"no-cache\" became nothing"];
    let faults = json!({ "request_headers": headers, "idle_limit_s": limit(&report, 60) });
    expect(&report, &but(right(503, false), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn apache_cuts_at_60_s() {
    let command = |address: &str, _: u16, origin: &str, _: u16| {
        let modules = ["mpm_event", "authz_core", "proxy", "proxy_http"]
            .map(|it| format!("LoadModule {it}_module /usr/lib/apache2/modules/mod_{it}.so\n"));
        with_file(
            "apache2 -X -f $PWD/file",
            &format!(
                "{}DefaultRuntimeDir .\nPidFile pid\nErrorLog /dev/stderr\nServerName localhost\n\
                 User daemon\nGroup daemon\nListen {address}\nProxyPass / http://{origin}/",
                modules.concat()
            ),
        )
    };
    let report = look("Apache 2.4.71", command, "--for 65s").await;
    let faults = json!({ "idle_limit_s": limit(&report, 60) });
    expect(&report, &but(right(503, false), &faults), [true, true]);
}

/// Held out: the verdicts are what the guide says about it.
async fn look_at_nginx(name: &str, program: &Path) -> Report {
    let command = |address: &str, _: u16, origin: &str, _: u16| {
        let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|it| format!("{it}_temp_path {it};"))
            .concat();
        with_file(
            &format!("{} -e stderr -p . -c file", program.display()),
            &format!(
                "daemon off; master_process off; error_log stderr; pid pid; events {{}}\n\
                 http {{ access_log off; {temporary} server {{ listen {address};\n\
                 location / {{ proxy_pass http://{origin}; proxy_read_timeout 20s; }} }} }}"
            ),
        )
    };
    look(name, command, "--for 25s").await
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn nginx_passes_and_uses_up_its_header() {
    let Some(program) = find_newest_nginx() else { return };
    let report = look_at_nginx("nginx 1.31.3", &program).await;
    let faults = json!({ "origin_version": "HTTP/1.1", "idle_limit_s": limit(&report, 20),
        "response_headers": ["x-accel-buffering: \"no\" became nothing"] });
    expect(&report, &but(right(502, false), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn nginx_of_debian_speaks_http_1_0_and_holds_bare_streams_back() {
    let Some(program) = find_nginx() else { return };
    let report = look_at_nginx("nginx 1.22.1", &program).await;
    let held = report.value("held_bytes").clone();
    assert!(held.as_u64().is_some_and(|held| held >= 4096), "{report}");
    let faults = json!({ "origin_version": "HTTP/1.0", "idle_limit_s": limit(&report, 20),
        "passes_bare": false, "held_bytes": held, "cut": { "fin": "clean", "reset": "cut" } });
    expect(&report, &but(right(502, false), &faults), [true, true]);
}

#[tokio::test]
#[ignore = "needs hops that `.ci/slow hops` installs"]
async fn haproxy_cuts_at_its_time_out() {
    let command = |address: &str, _: u16, origin: &str, _: u16| {
        with_file(
            "haproxy -f file",
            &format!(
                "defaults\n mode http\n timeout connect 5s\n timeout client 60s\n \
                 timeout server 20s\n option http-no-delay\n\
                 frontend web\n bind {address}\n default_backend app\n\
                 backend app\n server one {origin}"
            ),
        )
    };
    let report = look("HAProxy 2.6.12", command, "--for 25s").await;
    let faults = json!({ "idle_limit_s": limit(&report, 20) });
    expect(&report, &but(right(503, false), &faults), [true, true]);
}
