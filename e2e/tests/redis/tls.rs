//! Redis over TLS. Certificates of the system come from the environment, so each client is a
//! process of its own.

use std::{
    env,
    path::Path,
    process::{Command, Output},
};

use futures_util::stream;
use http::Request;
use tower_sse::{
    Event,
    hub::Hub,
    redis::Redis,
    runs::{RunKey, Runs},
};

use crate::*;

/// The variable with the URL for the process below.
const URL: &str = "TOWER_SSE_TLS_URL";
/// Set for a process that installs a crypto provider.
const PROVIDER: &str = "TOWER_SSE_TLS_PROVIDER";

#[tokio::test]
async fn server_with_a_certificate_of_a_trusted_authority_is_connected_to() {
    let Some(mut server) = Server::prepare(&[]) else { return };
    if find("openssl").is_none() {
        return skip("no openssl here");
    }
    make_certificates(server.directory());
    let port = free_port();
    server.add_options(&["--tls-port", &port.to_string(), "--tls-auth-clients", "no"]);
    server.add_options(&["--tls-cert-file", "server.crt", "--tls-key-file", "server.key"]);
    server.add_options(&["--tls-ca-cert-file", "ca.crt"]);
    server.restart().await;
    let url = format!("rediss://localhost:{port}/");
    let authority = server.directory().join("ca.crt");

    let connected = client(&url, &authority, true).await;
    assert!(connected.contains("published and read"), "{connected}");
    assert!(connected.contains("started a run"), "{connected}");
    let untrusted = client(&url, &server.directory().join("other.crt"), true).await;
    assert!(untrusted.contains("UnknownIssuer"), "{untrusted}");
    let without_provider = client(&url, &authority, false).await;
    assert!(without_provider.contains("no crypto provider"), "{without_provider}");
}

/// Returns the report of a process that connects.
async fn client(url: &str, authority: &Path, has_provider: bool) -> String {
    let mut command = tokio::process::Command::new(env::current_exe().unwrap());
    command
        .args(["tls::connect", "--exact", "--ignored", "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", authority)
        .kill_on_drop(true);
    if has_provider {
        command.env(PROVIDER, "yes");
    }
    let Output { stdout, stderr, .. } = command.output().await.unwrap();
    String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
}

#[tokio::test]
#[ignore = "is a process of the test above"]
async fn connect() {
    let Ok(url) = env::var(URL) else { return };
    if env::var_os(PROVIDER).is_some() {
        rustls::crypto::ring::default_provider().install_default().unwrap();
    }
    match Hub::connect(Redis::open(&url).unwrap()).await {
        Ok(_) => {
            let mut process = Process::connect(Redis::open(&url).unwrap()).await;
            _ = process.publish([0, 1]).await;
            process.reads([0, 1]).await;
            println!("published and read");
            starts_a_run(&url).await;
            println!("started a run");
        }
        Err(error) => println!("{error:?}"),
    }
}

async fn starts_a_run(url: &str) {
    let runs = Runs::connect(Redis::open(url).unwrap().key("app")).await.unwrap();
    let (parts, ()) = Request::new(()).into_parts();
    let key = RunKey::new("ann", "turn").unwrap();
    let tokens = || stream::iter([Event::from("token")]);
    _ = runs.start(&key, &parts, tokens).await.unwrap();
}

/// Makes an authority, a server's certificate of it, and another authority.
fn make_certificates(directory: &Path) {
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(directory.join("names"), "subjectAltName=DNS:localhost").unwrap();
    for arguments in [
        format!("req -x509 {key} -keyout ca.key -out ca.crt -days 2 -subj /CN=authority"),
        format!("req -x509 {key} -keyout other.key -out other.crt -days 2 -subj /CN=other"),
        format!("req {key} -keyout server.key -out server.csr -subj /CN=localhost"),
        "x509 -req -in server.csr -CA ca.crt -CAkey ca.key -CAcreateserial -out server.crt \
         -days 2 -extfile names"
            .to_owned(),
    ] {
        let output = Command::new("openssl")
            .args(arguments.split_ascii_whitespace())
            .current_dir(directory)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}
