use std::fmt;

use redis::{Client, ClientTlsConfig, ConnectionAddr, TlsCertificates};

use crate::{Error, server::error::failed};

const ACTION: &str = "set up TLS for Redis";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// The certificates that [`Redis::tls`](crate::Redis::tls) sets (feature `tls`).
#[derive(Clone, Default)]
#[must_use = "pass it to `Redis::tls`"]
pub struct Tls {
    authority: Option<Vec<u8>>,
    identity: Option<ClientTlsConfig>,
}

impl Tls {
    /// Creates settings that trust the [root certificates of the machine](crate#tls).
    pub const fn new() -> Self {
        Self { authority: None, identity: None }
    }

    /// Trusts only servers whose certificate was issued by an authority in `certificates` (PEM).
    /// The default is the [root certificates of the machine](crate#tls).
    ///
    /// Even with this option, the machine's certificates are read when the program connects, but
    /// they aren't trusted. Connecting fails if `SSL_CERT_FILE` or `SSL_CERT_DIR` names a file or
    /// directory that can't be read.
    pub fn authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(certificates.into());
        self
    }

    /// Sets the client's certificate and private key, in PEM format. `certificates` begins with the
    /// client's certificate, followed by those of its issuers. The default is none.
    ///
    /// If the server rejects the certificate, the error may say only `broken pipe`.
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (client_cert, client_key) = (certificates.into(), key.into());
        self.identity = Some(ClientTlsConfig { client_cert, client_key });
        self
    }

    /// Makes clients use these certificates.
    pub(crate) fn set_up<'c>(
        self,
        clients: impl Iterator<Item = &'c mut Client>,
    ) -> Result<(), Error> {
        let Self { authority, identity } = self;
        let certificates = authority.iter().chain(identity.as_ref().map(|own| &own.client_cert));
        for pem in certificates {
            if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
                return Err(failed(ACTION, "a text in PEM format has no certificate"));
            }
        }
        let certificates = TlsCertificates { client_tls: identity, root_cert: authority };
        for client in clients {
            let info = client.get_connection_info().clone();
            *client = Client::build_with_tls(info, certificates.clone())
                .map_err(|error| failed(ACTION, error))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

pub(crate) fn is_tls(client: &Client) -> bool {
    matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. })
}

/// Returns an error if a TLS client has no crypto provider, because rustls could panic.
pub(crate) fn check_crypto_provider(client: &Client) -> Result<(), Error> {
    if is_tls(client) && rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(failed("connect to Redis", "no crypto provider is installed for rustls"));
    }
    Ok(())
}
