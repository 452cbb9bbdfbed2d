use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, crypto::CryptoProvider, pki_types::pem::PemObject};
use tokio_postgres_rustls::MakeRustlsConnect;
use tower_sse::BoxError;
use tower_sse_broker::Tls;

/// Returns a connector for TLS connections that uses these certificates.
pub(crate) fn connect(Tls { authority, identity }: Tls) -> Result<MakeRustlsConnect, BoxError> {
    if CryptoProvider::get_default().is_none() {
        // Without a provider, the builder below could panic.
        return Err("no crypto provider is installed for rustls".into());
    }
    let mut roots = RootCertStore::empty();
    if let Some(authority) = authority {
        for certificate in certificates(&authority)? {
            roots.add(certificate)?;
        }
    } else {
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    let builder = ClientConfig::builder().with_root_certificates(roots);
    let mut config = match identity {
        Some([own, key]) => builder
            .with_client_auth_cert(certificates(&own)?, PrivateKeyDer::from_pem_slice(&key)?)?,
        None => builder.with_no_client_auth(),
    };
    // Required if the address says `sslnegotiation=direct`.
    config.alpn_protocols = vec![b"postgresql".to_vec()];
    Ok(MakeRustlsConnect::new(config))
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, BoxError> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    if certificates.is_empty() {
        return Err("a text in PEM format has no certificate".into());
    }
    Ok(certificates)
}
