//! A certificate for servers on this machine, and clients that trust it.

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, pki_types::pem::PemObject};
use tokio_rustls::TlsConnector;

use super::support::openssl;
use crate::*;

/// A certificate for `localhost`, and its key: `site.crt`, `site.key`, and both in `site.pem`.
pub(crate) struct Certificate {
    directory: Directory,
    roots: RootCertStore,
}

impl Certificate {
    /// Makes a certificate, if there is an `openssl`.
    pub(crate) fn new() -> Option<Self> {
        find(&["openssl"])?;
        let directory = Directory::new("certificate");
        openssl::site(directory.path());
        let read = |name| std::fs::read(directory.path().join(name)).unwrap();
        let both = [read("site.crt"), read("site.key")].concat();
        std::fs::write(directory.path().join("site.pem"), both).unwrap();
        _ = rustls::crypto::ring::default_provider().install_default();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&read("site.crt")).unwrap()).unwrap();
        Some(Self { directory, roots })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Connects to a server that has this certificate. The server must choose `protocol`.
    pub(crate) async fn connect(&self, address: SocketAddr, protocol: Protocol) -> Connection {
        let name: &[u8] = match protocol {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        };
        let client = ClientConfig::builder().with_root_certificates(self.roots.clone());
        let mut client = client.with_no_client_auth();
        client.alpn_protocols = vec![name.to_vec()];
        let io = TcpStream::connect(address).await.unwrap();
        let server = ServerName::try_from("localhost").unwrap();
        let io = soon(TlsConnector::from(Arc::new(client)).connect(server, io)).await.unwrap();
        assert_eq!(io.get_ref().1.alpn_protocol(), Some(name));
        protocol.over(io).await
    }
}
