use redis::{Client, ClientTlsConfig, ConnectionAddr, TlsCertificates};

use crate::{Error, Tls, server::error::failed};

const ACTION: &str = "set up TLS for Redis";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

/// Makes clients use these certificates.
pub(crate) fn set_up<'c>(
    Tls { authority, identity }: Tls,
    clients: impl Iterator<Item = &'c mut Client>,
) -> Result<(), Error> {
    let identity =
        identity.map(|[client_cert, client_key]| ClientTlsConfig { client_cert, client_key });
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
