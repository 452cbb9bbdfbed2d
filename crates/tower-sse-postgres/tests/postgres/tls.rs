//! TLS connections with the certificates that the program sets.

use std::os::unix::fs::PermissionsExt;

use tower_sse_postgres::Tls;

use super::support::openssl;
use crate::*;

/// A server that accepts only encrypted connections, except those of the role `postgres`.
struct Secure {
    server: Server,
}

impl Secure {
    async fn start(access: &str) -> Option<Self> {
        let mut server = Server::start().await?;
        find(&["openssl"])?;
        _ = rustls::crypto::ring::default_provider().install_default();
        make_certificates(&server.data());
        let client = server.connect().await;
        sql(&client, "create role app login superuser password 'secret'").await;
        let access = format!("hostnossl all postgres 127.0.0.1/32 trust\nhostssl {access}\n");
        fs::write(server.data().join("pg_hba.conf"), access).unwrap();
        server.stop(Stop::Fast);
        for setting in
            ["ssl=on", "ssl_ca_file=ca.crt", "ssl_cert_file=server.crt", "ssl_key_file=server.key"]
        {
            server.set(setting);
        }
        server.restart().await;
        Some(Self { server })
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(self.server.data().join(name)).unwrap()
    }

    fn broker(&self, host: &str, tls: Tls) -> PostgresBroker {
        let address = self.server.address_of("app");
        let address = address.replace("host=127.0.0.1", &format!("host={host} hostaddr=127.0.0.1"));
        let address = format!("{address} password=secret channel_binding=require");
        patient(Postgres::open(&address).unwrap().tls(tls).unwrap().broker("tower_sse"))
    }

    async fn refusal(&self, host: &str, tls: Tls) -> String {
        format!("{:?}", Hub::connect(self.broker(host, tls)).await.unwrap_err())
    }
}

/// The address requires channel binding, so the client must also hash the server's certificate
/// correctly.
#[tokio::test]
async fn server_of_the_authority_is_connected_to() {
    let Some(secure) = Secure::start("all all 127.0.0.1/32 scram-sha-256").await else { return };
    let tls = |authority: &str| Tls::new().authority(secure.file(authority));
    let mut process = Process::connect(secure.broker("localhost", tls("ca.crt"))).await;
    process.delivers([1]).await;
    let refusal = secure.refusal("localhost", tls("other.crt")).await;
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    let refusal = secure.refusal("localhost", Tls::new()).await;
    assert!(refusal.contains("UnknownIssuer"), "{refusal}");
    let refusal = secure.refusal("db.internal", tls("ca.crt")).await;
    assert!(refusal.contains("NotValidForName"), "{refusal}");
    // Without TLS, the server refuses the role.
    let plain = Postgres::open(&secure.server.address_of("app")).unwrap();
    let error = Hub::connect(plain.broker("tower_sse")).await.unwrap_err();
    assert_eq!(error.kind(), tower_sse_postgres::ErrorKind::NotPermitted);
}

#[tokio::test]
async fn client_has_the_certificate_of_the_program() {
    let Some(secure) = Secure::start("all all 127.0.0.1/32 cert clientname=CN").await else {
        return;
    };
    let tls = || Tls::new().authority(secure.file("ca.crt"));
    let broker = |tls: Tls| {
        let address =
            secure.server.address_of("app").replace("127.0.0.1", "localhost hostaddr=127.0.0.1");
        patient(Postgres::open(&address).unwrap().tls(tls).unwrap().broker("tower_sse"))
    };
    let own = tls().identity(secure.file("app.crt"), secure.file("app.key"));
    let mut process = Process::connect(broker(own)).await;
    process.delivers([1]).await;
    assert!(Hub::connect(broker(tls())).await.is_err());
    for (certificates, key) in
        [(b"".to_vec(), secure.file("app.key")), (secure.file("app.crt"), b"".to_vec())]
    {
        let postgres = Postgres::open(&secure.server.address_of("app")).unwrap();
        assert!(postgres.tls(tls().identity(certificates, key)).is_err());
    }
}

fn make_certificates(directory: &Path) {
    // The certificates are signed with different hash algorithms, because channel binding takes its
    // hash from the signature.
    openssl::openssl(
        directory,
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=ca",
    );
    openssl::self_signed(directory, "other", "other", "");
    for (name, subject, digest) in [("server", "localhost", "sha384"), ("app", "app", "sha256")] {
        openssl::signed(directory, name, "ca", subject, &format!("-{digest} -days 2"));
    }
    fs::set_permissions(directory.join("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
    for name in ["server.key", "server.crt", "ca.crt"] {
        server::own(&directory.join(name));
    }
}
