use std::fmt;

use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, pki_types::pem::PemObject};
use tokio_postgres_rustls::MakeRustlsConnect;
use tower_sse::BoxError;

/// Certificates for [`Postgres::tls`](crate::Postgres::tls) (feature `tls`).
#[derive(Clone, Default)]
#[must_use = "pass it to `Postgres::tls`"]
pub struct Tls {
    authority: Option<Vec<u8>>,
    identity: Option<[Vec<u8>; 2]>,
}

impl Tls {
    /// Creates settings that trust the operating system's root certificates. If `SSL_CERT_FILE` or
    /// `SSL_CERT_DIR` is set, the certificates there are trusted instead.
    pub const fn new() -> Self {
        Self { authority: None, identity: None }
    }

    /// Trusts only servers whose certificate was issued by an authority in `certificates` (PEM).
    pub fn authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(certificates.into());
        self
    }

    /// Sets the client's certificate and private key, in PEM format. `certificates` begins with the
    /// client's certificate, followed by those of its issuers. The default is none.
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.identity = Some([certificates.into(), key.into()]);
        self
    }

    pub(crate) fn connect(self) -> Result<MakeRustlsConnect, BoxError> {
        if CryptoProvider::get_default().is_none() {
            // Without a provider, the builder below could panic.
            return Err("no crypto provider is installed for rustls".into());
        }
        let mut roots = RootCertStore::empty();
        if let Some(authority) = &self.authority {
            for certificate in certificates(authority)? {
                roots.add(certificate)?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        let builder = ClientConfig::builder().with_root_certificates(roots);
        let mut config = match &self.identity {
            Some([own, key]) => builder
                .with_client_auth_cert(certificates(own)?, PrivateKeyDer::from_pem_slice(key)?)?,
            None => builder.with_no_client_auth(),
        };
        // Required if the address says `sslnegotiation=direct`.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(MakeRustlsConnect::new(config))
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err("a text in PEM format has no certificate".into());
    }
    Ok(certificates)
}
