use std::{fmt, net::SocketAddr};

use ::redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, ConnectionAddr, RedisFuture, RedisResult,
    aio::MultiplexedConnection, io::AsyncDNSResolver,
};

use super::Error;

/// Certificates for connections over TLS, for [`Redis::tls`](super::Redis::tls) (feature `redis-tls`).
#[derive(Clone, Default)]
#[must_use = "pass it to `Redis::tls`"]
pub struct Tls {
    pub(super) authority: Option<Vec<u8>>,
    pub(super) identity: Option<ClientTlsConfig>,
    pub(super) server_name: Option<String>,
}

impl Tls {
    /// Creates settings that trust the operating system's root certificates.
    pub const fn new() -> Self {
        Self { authority: None, identity: None, server_name: None }
    }

    /// Trusts only servers whose certificate is issued by one of these authorities, in PEM format.
    /// The default is the operating system's root certificates.
    pub fn authority(mut self, certificates: impl Into<Vec<u8>>) -> Self {
        self.authority = Some(certificates.into());
        self
    }

    /// Sets the certificate of the client, followed by those of its issuers, and its private key,
    /// in PEM format. By default, the client has none.
    ///
    /// A server that requires another certificate closes the connection, so the error can be `broken
    /// pipe`.
    pub fn identity(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        let (client_cert, client_key) = (certificates.into(), key.into());
        self.identity = Some(ClientTlsConfig { client_cert, client_key });
        self
    }

    /// Sets the name that the server's certificate must have. The default is the host of the URL.
    ///
    /// Set it if the URL has an address or the name of a proxy instead of the server's.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

/// Returns an error if no crypto provider is installed, because rustls would panic then.
pub(super) fn check_crypto_provider(client: &Client) -> Result<(), Error> {
    let is_tls = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    if is_tls && rustls::crypto::CryptoProvider::get_default().is_none() {
        return Err(Error::new("connect to Redis", "no crypto provider is installed for rustls"));
    }
    Ok(())
}

/// Opens a connection, to a server whose certificate has this name or that of its URL.
pub(super) async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
    server_name: Option<&str>,
) -> RedisResult<MultiplexedConnection> {
    let info = client.get_connection_info().clone();
    let (Some(name), ConnectionAddr::TcpTls { host, port, insecure, tls_params }) =
        (server_name, info.addr().clone())
    else {
        return client.get_multiplexed_async_connection_with_config(config).await;
    };
    // The Redis client checks the certificate for the host that it resolves.
    let config = config.clone().set_dns_resolver(Host(host));
    let address = ConnectionAddr::TcpTls { host: name.to_owned(), port, insecure, tls_params };
    let client = Client::open(info.set_addr(address))?;
    client.get_multiplexed_async_connection_with_config(&config).await
}

/// A resolver that returns the addresses of this host, whatever it is asked for.
struct Host(String);

impl AsyncDNSResolver for Host {
    fn resolve<'a, 'b: 'a>(
        &'a self,
        _name: &'b str,
        port: u16,
    ) -> RedisFuture<'a, Box<dyn Iterator<Item = SocketAddr> + Send + 'a>> {
        Box::pin(async move {
            let addresses: Vec<_> = tokio::net::lookup_host((&*self.0, port)).await?.collect();
            Ok(Box::new(addresses.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}
