//! Clients that are generated from the OpenAPI document of the guide's page `frameworks`, as the
//! page `generated_clients` shows them. `.ci/slow generated` installs the generators.

#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::{fs, net::SocketAddr, sync::Arc};

use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::{net::TcpListener, process::Command, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tower_sse::{ClientKind, LastEventId, Retention, SseLayer, hub::Hub};

#[path = "../../e2e/tests/browser/frameworks/openapi.rs"]
mod openapi;
#[path = "../../tests/support/mod.rs"]
mod support;

use support::{Directory, Program, client, serve_axum, soon, target, until};

const PAGE: &str = include_str!("../../docs/guide/generated_clients.md");

/// A hub's topic behind a layer, whose server can stop and begin again at the same address.
struct Site {
    hub: Hub,
    address: SocketAddr,
    layer: SseLayer,
    /// How many requests are refused from now on, and how many were.
    refusals: Arc<[AtomicUsize; 2]>,
    server: Option<(CancellationToken, JoinHandle<()>)>,
}

impl Site {
    async fn start(layer: SseLayer) -> Self {
        let hub = Hub::builder().retention(Retention::new().events(2)).build();
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut site = Self { hub, address, layer, refusals: Arc::default(), server: None };
        site.serve().await;
        site
    }

    async fn serve(&mut self) {
        let events = async |State(hub): State<Hub>, last: Option<LastEventId>| {
            hub.subscribe_to("news").resume(last).response()
        };
        let refusals = Arc::clone(&self.refusals);
        let refuse = from_fn(move |request: Request, next: Next| {
            let is_refused =
                refusals[0].fetch_update(SeqCst, SeqCst, |it| it.checked_sub(1)).is_ok();
            refusals[1].fetch_add(usize::from(is_refused), SeqCst);
            async move {
                match is_refused {
                    true => StatusCode::SERVICE_UNAVAILABLE.into_response(),
                    false => next.run(request).await,
                }
            }
        });
        let shutdown = CancellationToken::new();
        let layer = self.layer.clone().shutdown(shutdown.clone());
        let routes = Router::new().route("/events", get(events)).layer(layer);
        let routes = routes.layer(refuse).with_state(self.hub.clone());
        let listener = TcpListener::bind(self.address).await.unwrap();
        self.address = listener.local_addr().unwrap();
        let stopped = shutdown.clone().cancelled_owned();
        let server = async move {
            axum::serve(listener, routes).with_graceful_shutdown(stopped).await.unwrap();
        };
        self.server = Some((shutdown, tokio::spawn(server)));
    }

    /// Stops as a deployment does.
    async fn stop(&mut self) {
        let (shutdown, server) = self.server.take().unwrap();
        shutdown.cancel();
        soon(server).await.unwrap();
    }

    async fn publish(&self, events: impl IntoIterator<Item = u32>) {
        for event in events {
            self.hub.publish("news", format!("event {event}")).await.unwrap();
        }
    }
}

/// Asserts that the program prints these lines next.
async fn expect(program: &mut Program, lines: impl IntoIterator<Item = String>) {
    for line in lines {
        assert_eq!(program.line().await, Some(line));
    }
}

/// Returns a program of npm, or Node itself.
fn installed(path: &str) -> String {
    target("npm-generated/node_modules").join(path).to_str().unwrap().to_owned()
}

const NODE: &str = "node/bin/node";

async fn run(folder: &Path, program: &str, arguments: &[&str]) {
    let mut command = Command::new(program);
    let output = command.args(arguments).current_dir(folder).output().await.unwrap();
    let text = || {
        String::from_utf8_lossy(&[output.stdout.clone(), output.stderr.clone()].concat())
            .into_owned()
    };
    assert!(output.status.success(), "{program} {arguments:?}: {}", text());
}

/// Returns a folder with the document that the guide's program serves.
async fn document(name: &str) -> Directory {
    let folder = Directory::new(name);
    let address = serve_axum(openapi::app(Hub::new())).await;
    let document = client::get(address, "/openapi.json", &[]).await.into_body();
    let document = document.collect().await.unwrap().to_bytes();
    fs::write(folder.path().join("openapi.json"), document).unwrap();
    folder
}

fn block(language: &str) -> &'static str {
    let (_, block) = PAGE.split_once(&format!("```{language}\n")).expect("a block");
    block.split_once("```").unwrap().0
}

/// Builds the page's loop with the generated client. Returns the program's file.
async fn hey_api(folder: &Path, snippet: &str) -> PathBuf {
    let [node, generator, compiler, bundler] =
        [NODE, ".bin/openapi-ts", ".bin/tsc", ".bin/esbuild"].map(installed);
    let generate =
        [&*generator, "-i", "openapi.json", "-o", "client", "-c", "@hey-api/client-fetch"];
    run(folder, &node, &generate).await;
    let (import, rest) = snippet.split_once('\n').unwrap();
    let program = format!(
        "{import}\nimport {{ client }} from \"./client/client.gen\";\n\
        client.setConfig({{ baseUrl: process.argv[2] }});\n\
        const show = (data: unknown) => console.log(data);\nconst reload = () => console.log(\"gap\");\n\
        {rest}console.log(\"over\");\n"
    );
    fs::write(folder.join("main.ts"), program).unwrap();
    fs::write(folder.join("package.json"), r#"{ "type": "module" }"#).unwrap();
    let check = [&*compiler, "--noEmit", "--strict", "--skipLibCheck", "--target", "esnext"];
    let modules = ["--module", "preserve", "--moduleResolution", "bundler", "main.ts"];
    let types = installed("@types");
    let types = ["--types", "node", "--typeRoots", &*types];
    run(folder, &node, &[&check[..], &types, &modules].concat()).await;
    let bundle = ["main.ts", "--bundle", "--platform=node", "--format=esm", "--outfile=main.mjs"];
    run(folder, &bundler, &bundle).await;
    folder.join("main.mjs")
}

fn node(program: &Path, site: &Site) -> Program {
    let url = format!("http://{}", site.address);
    Program::start(Command::new(installed(NODE)).arg(program).arg(url))
}

fn shown(events: impl IntoIterator<Item = u32>) -> Vec<String> {
    events.into_iter().map(|event| format!("event {event}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn loop_of_hey_api_survives_a_deployment_a_refusal_and_a_gap() {
    let folder = document("hey-api").await;
    let program = hey_api(folder.path(), block("ts")).await;
    let without_header = block("ts").lines().filter(|line| !line.contains("Accept"));
    let without_header = without_header.map(|line| format!("{line}\n")).collect::<String>();
    let other = document("hey-api-kind").await;
    let of_the_kind = hey_api(other.path(), &without_header).await;
    let fetch = SseLayer::new().client_kind(ClientKind::Fetch);
    for (layer, program) in [(SseLayer::new(), &program), (fetch, &of_the_kind)] {
        let mut site = Site::start(layer).await;
        let mut reader = node(program, &site);
        until(|| site.hub.stats().subscribers == 1).await;
        site.publish([1]).await;
        expect(&mut reader, shown([1])).await;
        site.stop().await;
        site.publish([2]).await;
        site.refusals[0].store(1, SeqCst);
        site.serve().await;
        expect(&mut reader, shown([2])).await;
        assert_eq!(site.refusals[1].load(SeqCst), 1);
        site.stop().await;
        site.publish(3..=9).await;
        site.serve().await;
        expect(&mut reader, ["gap".to_owned()].into_iter().chain(shown([8, 9]))).await;
        site.hub.end("news", "event 10").await.unwrap();
        expect(&mut reader, shown([10]).into_iter().chain(["over".to_owned()])).await;
    }
    // What the page warns of: another `GET` ends cleanly, and the loop is over.
    let mut site = Site::start(SseLayer::new()).await;
    let mut reader = node(&of_the_kind, &site);
    until(|| site.hub.stats().subscribers == 1).await;
    site.stop().await;
    expect(&mut reader, ["over".to_owned()]).await;
}

const GO: &str = r#"package main
import ("bufio"; "context"; "fmt"; "os"; "app/client"; "time")
func main() {
    api, _ := client.NewClientWithResponses(os.Args[1])
    response, err := api.Events(context.Background(), nil)
    if err != nil { panic(err) }
    lines := bufio.NewScanner(response.Body)
    for lines.Scan() { if len(lines.Text()) > 5 && lines.Text()[:5] == "data:" { fmt.Println(lines.Text()[6:]); break } }
    limited, _ := context.WithTimeout(context.Background(), 3 * time.Second)
    _, err = api.EventsWithResponse(limited, nil)
    fmt.Println(err != nil && limited.Err() != nil)
}"#;

#[tokio::test(flavor = "multi_thread")]
async fn oapi_codegen_streams_by_its_plain_call() {
    const TOOL: &str = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen@v2.8.2";
    let folder = document("oapi-codegen").await;
    let path = folder.path();
    fs::create_dir(path.join("client")).unwrap();
    fs::write(path.join("main.go"), GO).unwrap();
    run(path, "go", &["mod", "init", "app"]).await;
    let target = [
        "-generate",
        "types,client",
        "-package",
        "client",
        "-o",
        "client/client.go",
        "openapi.json",
    ];
    run(path, "go", &[&["run", TOOL][..], &target].concat()).await;
    run(path, "go", &["mod", "tidy"]).await;
    run(path, "go", &["build", "-o", "program", "."]).await;
    let site = Site::start(SseLayer::new()).await;
    let mut reader =
        Program::start(Command::new(path.join("program")).arg(format!("http://{}", site.address)));
    until(|| site.hub.stats().subscribers == 1).await;
    site.publish([1]).await;
    expect(&mut reader, shown([1])).await;
    // `EventsWithResponse` reads until its deadline.
    expect(&mut reader, ["true".to_owned()]).await;
}
