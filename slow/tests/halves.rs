//! What clients take a stream over HTTP/2 for that ends too early behind hyper's server: none may
//! take half an answer for a whole one. `.ci/slow halves` installs the clients.

#![cfg(unix)]

use std::{fs, net::SocketAddr, path::Path, process::Stdio, sync::Arc, time::Duration};

use axum::extract::{Path as UrlPath, State};
use axum::response::{IntoResponse, Response};
use axum::{Router, routing::get};
use futures_util::{StreamExt, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::{pin, process::Command, select, sync::Notify, time::sleep};
use tokio_rustls::TlsAcceptor;
use tower_sse::{Event, SseLayer, StreamOptions};

#[path = "../../tests/support/mod.rs"]
mod support;

use support::{Directory, openssl, soon, start};

/// How an answer ends, and whether the answer to the `GET` of a `fetch`, and to a `POST`, is whole.
/// An answer to a `POST` has no maximum age, and for another `GET`, this age ends a stream cleanly.
const ENDS: [(&str, [bool; 2]); 5] = [
    ("whole", [true, true]),
    ("error", [false, false]),
    ("age", [false, true]),
    // A shutdown whose deadline passes, and a killed process.
    ("deadline", [false, false]),
    ("kill", [false, false]),
];

#[derive(Clone, Default)]
struct Connection {
    deadline: Arc<Notify>,
    kill: Arc<Notify>,
}

async fn answer(UrlPath(end): UrlPath<String>, State(it): State<Connection>) -> Response {
    let first = stream::iter(["one", "two"].map(|word| Ok(Event::from(word))));
    let options = StreamOptions::new();
    let (last, options) = match &*end {
        "error" => (Some(Err("the model broke")), options),
        "age" => (None, options.max_age(Duration::from_millis(500))),
        _ => (None, options),
    };
    let ends = stream::once(async move {
        match &*end {
            // The client has the words.
            "age" => sleep(Duration::from_secs(2)).await,
            "deadline" | "kill" => {
                sleep(Duration::from_millis(500)).await;
                if end == "kill" {
                    it.kill.notify_one()
                } else {
                    it.deadline.notify_one()
                };
                std::future::pending::<()>().await;
            }
            _ => {}
        }
        last
    });
    let events = first.chain(ends.filter_map(async |last| last));
    (options, tower_sse::response(events.boxed())).into_response()
}

async fn serve(folder: &Path) -> SocketAddr {
    openssl::site(folder);
    _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(folder.join("site.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("site.key")).unwrap();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate], key).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    start(async move |listener| {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let it = Connection::default();
                let app = Router::new().route("/{end}", get(answer).post(answer));
                let app = app.layer(SseLayer::new()).with_state(it.clone());
                let stream = acceptor.accept(stream).await.unwrap();
                let builder = Builder::new(TokioExecutor::new());
                let service = TowerToHyperService::new(app);
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                pin!(connection);
                select! {
                    _ = connection.as_mut() => return,
                    () = it.kill.notified() => return,
                    () = it.deadline.notified() => connection.as_mut().graceful_shutdown(),
                }
                // The client gets the GOAWAY before the connection breaks.
                select! { _ = connection => {}, () = sleep(Duration::from_millis(500)) => {} }
            });
        }
    })
    .await
}

const FETCH: &str = "
    const [, url, method, undici] = process.argv;
    if (undici) {
        const { Agent, setGlobalDispatcher, fetch } = require(undici);
        setGlobalDispatcher(new Agent({ allowH2: true, connect: { rejectUnauthorized: false } }));
        globalThis.fetch = fetch;
    }
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0';
    fetch(url, { method, headers: { accept: 'text/event-stream' } })
        .then(response => response.text())
        .then(() => console.log('whole'), error => console.log(`failed: ${error.cause ?? error}`));";

const GO: &str = r#"package main
import ("crypto/tls"; "fmt"; "io"; "net/http"; "os")
func main() {
    transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}
    request, _ := http.NewRequest(os.Args[2], os.Args[1], nil)
    request.Header.Set("Accept", "text/event-stream")
    response, err := (&http.Client{Transport: transport}).Do(request)
    if err == nil { _, err = io.ReadAll(response.Body) }
    if err == nil { fmt.Println("whole") } else { fmt.Println("failed:", err) }
}"#;

const PYTHON: &str = "
import sys, httpx
try:
    with httpx.Client(http2=True, verify=False, timeout=60) as client:
        with client.stream(sys.argv[2], sys.argv[1], headers={'accept': 'text/event-stream'}) as response:
            response.read()
            assert response.http_version == 'HTTP/2'
    print('whole')
except Exception as error:
    print('failed:', type(error).__name__, error)";

const JAVA: &str = r#"import java.net.URI; import java.net.http.*; import java.security.cert.X509Certificate; import javax.net.ssl.*;
public class Client {
    public static void main(String[] arguments) throws Exception {
        System.setProperty("jdk.internal.httpclient.disableHostnameVerification", "true");
        var trust = new X509TrustManager() {
            public void checkClientTrusted(X509Certificate[] chain, String type) {}
            public void checkServerTrusted(X509Certificate[] chain, String type) {}
            public X509Certificate[] getAcceptedIssuers() { return new X509Certificate[0]; }
        };
        var tls = SSLContext.getInstance("TLS");
        tls.init(null, new TrustManager[] { trust }, null);
        var client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_2).sslContext(tls).build();
        var request = HttpRequest.newBuilder(URI.create(arguments[0])).header("accept", "text/event-stream")
            .method(arguments[1], HttpRequest.BodyPublishers.noBody()).build();
        try {
            var response = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.version() == HttpClient.Version.HTTP_2 ? "whole" : "no HTTP/2");
        } catch (java.io.IOException error) {
            System.out.println("failed: " + error.getMessage());
        }
    }
}"#;

/// Returns what a client says of an answer.
async fn outcome(client: &str, folder: &Path, url: &str, method: &str) -> String {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/npm-halves/node_modules");
    let node = packages.join("node/bin/node");
    let mut command = match client {
        "node 26" | "undici 7" => Command::new(node),
        "go" => Command::new(folder.join("client")),
        "python" => Command::new("python3"),
        "java" => Command::new("java"),
        _ => Command::new("curl"),
    };
    match client {
        "node 26" => command.args(["-e", FETCH, url, method]),
        "undici 7" => command.args(["-e", FETCH, url, method]).arg(packages.join("undici")),
        "go" => command.args([url, method]),
        "python" => command.args(["-c", PYTHON, url, method]).env(
            "PYTHONPATH",
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/python-halves"),
        ),
        "java" => command.arg(folder.join("Client.java")).args([url, method]),
        _ => command.args(["--silent", "--insecure", "--http2", "-X", method, url]),
    };
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = soon(output).await.unwrap();
    if client == "curl" {
        return if output.status.success() { "whole".into() } else { output.status.to_string() };
    }
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_client_takes_half_an_answer_over_http_2_for_whole() {
    let folder = Directory::new("halves");
    let address = serve(folder.path()).await;
    fs::write(folder.path().join("main.go"), GO).unwrap();
    fs::write(folder.path().join("Client.java"), JAVA).unwrap();
    let mut build = Command::new("go");
    build.args(["build", "-o", "client", "main.go"]).current_dir(folder.path());
    assert!(build.status().await.unwrap().success());
    for client in ["node 26", "undici 7", "go", "curl", "python", "java"] {
        for (end, are_whole) in ENDS {
            for (method, is_whole) in ["GET", "POST"].into_iter().zip(are_whole) {
                let url = format!("https://localhost:{}/{end}", address.port());
                let outcome = outcome(client, folder.path(), &url, method).await;
                println!("{client}, {method}, {end}: {outcome}");
                let is_fetch = matches!(client, "node 26" | "undici 7");
                let is_whole = is_whole || end == "age" && !is_fetch;
                assert!(!outcome.is_empty(), "{client} does not run");
                assert_eq!(outcome == "whole", is_whole, "{client}, {method}, {end}: {outcome}");
            }
        }
    }
}
