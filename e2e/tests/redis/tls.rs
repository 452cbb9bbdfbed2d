//! Redis over TLS. Certificates of the system come from the environment, so each client is a
//! process of its own.

use std::{env, path::Path, process::Output};

use crate::*;

/// The variable with the URL for the process below.
const URL: &str = "TOWER_SSE_TLS_URL";
/// Set for a process that installs a crypto provider.
const PROVIDER: &str = "TOWER_SSE_TLS_PROVIDER";

#[tokio::test]
async fn server_with_a_certificate_of_a_trusted_authority_is_connected_to() {
    let secure = Secure::start("server", &["--tls-auth-clients", "no"]).await;
    let Some(Secure { server, url }) = secure else { return };
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
    match Hub::connect(patient(Redis::open(&url).unwrap())).await {
        Ok(_) => {
            let mut process = Process::connect(patient(Redis::open(&url).unwrap())).await;
            _ = process.publish([0, 1]).await;
            process.reads([0, 1]).await;
            println!("published and read");
            let redis = Redis::open(&url).unwrap().runs("app");
            start_run(&Runs::connect(redis).await.unwrap(), "turn").await;
            println!("started a run");
        }
        Err(error) => println!("{error:?}"),
    }
}
