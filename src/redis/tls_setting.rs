use ::redis::{Client, TlsCertificates};

use super::{Error, Redis, Tls};

const ACTION: &str = "set up TLS for Redis";
const CERTIFICATE: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl Redis {
    /// Sets the certificates of connections over TLS (feature `redis-tls`). By default, servers are
    /// checked against the operating system's root certificates, and the client has no certificate.
    ///
    /// ```no_run
    /// # use std::fs;
    /// # use tower_sse::redis::{Redis, Tls};
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new()
    ///     .authority(fs::read("ca.pem")?)
    ///     .identity(fs::read("client.pem")?, fs::read("client.key")?)
    ///     .server_name("redis.internal");
    /// let redis = Redis::open("rediss://10.0.0.7/")?.tls(tls)?;
    /// # _ = redis;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a URL is not of the form `rediss://`, or if a certificate or the key is
    /// not in PEM format.
    #[cfg_attr(docsrs, doc(cfg(feature = "redis-tls")))]
    pub fn tls(mut self, tls: Tls) -> Result<Self, Error> {
        let Tls { authority, identity, server_name } = tls;
        let certificates = authority.iter().chain(identity.as_ref().map(|own| &own.client_cert));
        for pem in certificates {
            if !pem.windows(CERTIFICATE.len()).any(|window| window == CERTIFICATE) {
                return Err(Error::new(ACTION, "a text in PEM format has no certificate"));
            }
        }
        let certificates = TlsCertificates { client_tls: identity, root_cert: authority };
        for client in &mut self.servers.clients {
            let info = client.get_connection_info().clone();
            *client = Client::build_with_tls(info, certificates.clone())
                .map_err(|error| Error::new(ACTION, error))?;
        }
        self.servers.server_name = server_name;
        Ok(self)
    }
}
