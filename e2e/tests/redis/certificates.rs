//! Certificates that the program sets or the system trusts, and certificates that are refused.

use std::path::Path;

use super::support::openssl;
use crate::*;

/// A server with TLS, whose directory has the certificates and keys of both sides.
pub(crate) struct Secure {
    pub(crate) server: Server,
    pub(crate) certificate: &'static str,
    /// The port for TLS.
    pub(crate) port: u16,
    pub(crate) url: String,
}

impl Secure {
    pub(crate) async fn start(certificate: &'static str, options: &[&str]) -> Option<Self> {
        let mut server = Server::prepare(&[])?;
        find(&["openssl"])?;
        _ = rustls::crypto::ring::default_provider().install_default();
        make_certificates(server.directory());
        let port = free_port();
        server.add_options(&["--tls-port", &port.to_string(), "--tls-ca-cert-file", "ca.crt"]);
        server.add_options(&["--tls-cert-file", &format!("{certificate}.crt")]);
        server.add_options(&["--tls-key-file", &format!("{certificate}.key")]);
        server.add_options(options);
        server.restart().await;
        Some(Self { server, certificate, port, url: format!("rediss://localhost:{port}/") })
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.server.directory().join(name)).unwrap()
    }

    fn trusting(&self, authority: &str) -> Tls {
        Tls::new().authority(self.file(&format!("{authority}.crt")))
    }

    fn identified(&self, tls: Tls, client: &str) -> Tls {
        tls.identity(self.file(&format!("{client}.crt")), self.file(&format!("{client}.key")))
    }

    fn redis(&self, tls: Tls) -> Redis {
        Redis::open(&self.url).unwrap().tls(tls).unwrap().timeout(PATIENCE)
    }

    fn broker(&self, tls: Tls) -> RedisBroker {
        patient(self.redis(tls))
    }

    async fn refusal(&self, tls: Tls) -> String {
        format!("{:?}", Hub::connect(self.broker(tls)).await.unwrap_err())
    }
}

#[tokio::test]
async fn authority_and_client_certificate_are_those_of_the_program() {
    let Some(secure) = Secure::start("server", &["--tls-auth-clients", "yes"]).await else {
        return;
    };
    let tls = || secure.identified(secure.trusting("ca"), "client");
    publishes_and_reads(secure.broker(tls())).await;
    let runs = Runs::connect(secure.redis(tls()).runs("app")).await.unwrap();
    start_run(&runs, "turn").await;

    // The client refuses the server.
    let refusal = secure.refusal(secure.identified(secure.trusting("other"), "client")).await;
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    let refusal = secure.refusal(secure.identified(Tls::new(), "client")).await;
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    // The server refuses the client. The client may notice only that the connection ends.
    for tls in [secure.trusting("ca"), secure.identified(secure.trusting("ca"), "stranger")] {
        let refusal = secure.refusal(tls).await;
        assert!(refusal.contains("Unreachable") && !refusal.contains("timed out"), "{refusal}");
    }
    // The key does not belong to the certificate.
    let mixed = secure.trusting("ca").identity(secure.file("client.crt"), secure.file("ca.key"));
    let refusal = secure.refusal(mixed).await;
    assert!(refusal.contains("keys may not be consistent"), "{refusal}");
}

/// Sentinel names the primary by its IP address, which the certificate contains.
#[tokio::test]
async fn sentinels_and_the_primary_have_certificates_of_the_authority() {
    let Some(secure) = Secure::start("address", &["--tls-auth-clients", "no"]).await else {
        return;
    };
    let (sentinel, url) = Sentinel::start_secure(&secure);
    until_async(async || sentinel.primary().await == Some(secure.port)).await;
    let redis = |sentinel: &str, tls: Tls| {
        let redis = Redis::open_by_sentinel("rediss://hub/", [sentinel]).unwrap();
        redis.tls(tls).unwrap().timeout(PATIENCE)
    };
    for sentinel in [&url, &sentinel.url] {
        let redis = || redis(sentinel, secure.trusting("ca"));
        publishes_and_reads(patient(redis())).await;
        let runs = Runs::connect(redis().runs("app")).await.unwrap();
        start_run(&runs, "turn").await;
    }
    for (sentinel, reason) in [
        (&url, "no Sentinel names a primary"),
        // The certificate of the primary is checked too.
        (&sentinel.url, "UnknownIssuer"),
    ] {
        let tls = secure.trusting("other");
        let refused = Hub::connect(patient(redis(sentinel, tls))).await.unwrap_err();
        let refusal = format!("{refused} {refused:?}");
        assert!(refusal.contains(reason), "{reason}: {refusal}");
    }
}

#[test]
fn files_in_another_format_are_refused() {
    let open = || Redis::open("rediss://localhost/").unwrap();
    let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for (tls, reason) in [
        (Tls::new().authority("text"), "no certificate"),
        (Tls::new().authority(certificate), "trust anchors"),
        (Tls::new().identity("text", "text"), "no certificate"),
        (Tls::new().identity(certificate, "text"), "private key"),
    ] {
        let error = format!("{:?}", open().tls(tls).unwrap_err());
        assert!(error.contains(reason), "{error}");
    }
    let plain = Redis::open_any(["rediss://localhost/", "redis://localhost/"]).unwrap();
    let error = format!("{:?}", plain.tls(Tls::new()).unwrap_err());
    assert!(error.contains("rediss://"), "{error}");
}

/// Makes two authorities and four certificates. `ca` signs the certificates except `stranger`.
fn make_certificates(directory: &Path) {
    for authority in ["ca", "other"] {
        openssl::self_signed(directory, authority, authority, "");
    }
    for (name, authority, host) in [
        ("server", "ca", "localhost"),
        ("address", "ca", "localhost,IP:127.0.0.1"),
        ("client", "ca", "client"),
        ("stranger", "other", "client"),
    ] {
        openssl::signed(directory, name, authority, host, "-days 2");
    }
}

// Redis over TLS. The environment variable `SSL_CERT_FILE` sets the system's certificates, so each
// client is a process of its own.

/// The variable with the URL for the process below.
const URL: &str = "TOWER_SSE_TLS_URL";
/// The variable with the file of the certificate authority that the program sets.
const AUTHORITY: &str = "TOWER_SSE_TLS_AUTHORITY";
/// The variable that is set for a process that installs a crypto provider.
const PROVIDER: &str = "TOWER_SSE_TLS_PROVIDER";

#[tokio::test]
async fn server_with_a_certificate_of_a_trusted_authority_is_connected_to() {
    let secure = Secure::start("server", &["--tls-auth-clients", "no"]).await;
    let Some(Secure { server, url, .. }) = secure else { return };
    let authority = server.directory().join("ca.crt");

    let other = server.directory().join("other.crt");
    let connected = client(&url, &authority, None, true).await;
    assert!(connected.contains("published and read"), "{connected}");
    assert!(connected.contains("started a run"), "{connected}");
    // An authority that the program sets replaces the system's authorities.
    for (system, own) in [(&other, None), (&authority, Some(&*other))] {
        let untrusted = client(&url, system, own, true).await;
        assert!(untrusted.contains("UnknownIssuer"), "{untrusted}");
    }
    let without_provider = client(&url, &authority, None, false).await;
    assert!(without_provider.contains("no crypto provider"), "{without_provider}");
}

async fn client(url: &str, system: &Path, own: Option<&Path>, has_provider: bool) -> String {
    let mut command = tokio::process::Command::new(env::current_exe().unwrap());
    command
        .args(["certificates::connect", "--exact", "--ignored", "--nocapture"])
        .env(URL, url)
        .env("SSL_CERT_FILE", system)
        .envs(own.map(|own| (AUTHORITY, own)))
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
    let mut redis = Redis::open(&url).unwrap();
    if let Some(own) = env::var_os(AUTHORITY) {
        redis = redis.tls(Tls::new().authority(fs::read(own).unwrap())).unwrap();
    }
    match Hub::connect(patient(redis)).await {
        Ok(_) => {
            publishes_and_reads(patient(Redis::open(&url).unwrap())).await;
            println!("published and read");
            let redis = Redis::open(&url).unwrap().runs("app");
            start_run(&Runs::connect(redis).await.unwrap(), "turn").await;
            println!("started a run");
        }
        Err(error) => println!("{error:?}"),
    }
}
