use std::time::Duration;

use redis::{Client, IntoConnectionInfo, RedisResult};
use tower_sse::BoxError;
use tower_sse_broker::__private::CredentialsProvider;

use crate::server::{failed, servers::Servers};
use crate::{Credentials, Error, server::CONNECT_TIMEOUT};
#[cfg(feature = "tls")]
use crate::{Tls, server::is_tls, server::set_up};

const ACTION: &str = "parse the Redis URL";

/// A Redis or Valkey server, a primary with its replicas, or a cluster. All hubs and runs of a
/// program can share one `Redis`.
///
/// ```no_run
/// use tower_sse::hub::Hub;
/// # #[cfg(feature = "runs")]
/// use tower_sse::runs::Runs;
/// use tower_sse_redis::Redis;
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let redis = Redis::open("redis://127.0.0.1/")?;
/// let hub = Hub::connect(redis.broker("news")).await?;
/// # #[cfg(feature = "runs")]
/// let runs = Runs::builder().connect(redis.runs("app")).await?;
/// # drop(hub);
/// # #[cfg(feature = "runs")]
/// # drop(runs);
/// # Ok(())
/// # }
/// ```
///
/// Creating a `Redis` opens no connection.
#[derive(Clone, Debug)]
#[must_use = "it connects nothing by itself"]
pub struct Redis {
    pub(crate) servers: Servers,
}

impl Redis {
    /// Creates a `Redis` for the server at `url`:
    ///
    /// - `redis://host:6379/0`: the port and the database are optional
    /// - `redis://user:password@host/`, or `redis://:password@host/` without a user
    /// - `rediss://host/`: over TLS (feature `tls`)
    /// - `unix:///run/redis.sock`: over a Unix socket
    ///
    /// # Errors
    ///
    /// Returns an error if `url` is invalid.
    pub fn open(url: &str) -> Result<Self, Error> {
        Self::open_any([url])
    }

    /// Creates a `Redis` for a primary and its replicas, or for the nodes of a cluster.
    ///
    /// List all servers that can become the primary, or several nodes of the cluster. [Set up the
    /// servers](crate::running#with-replicas) for this. Otherwise, an old primary that returns
    /// accepts writes until it's demoted.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// let servers = [1, 2, 3].map(|number| format!("redis://redis-{number}.internal/"));
    /// let redis = Redis::open_any(servers)?;
    /// # drop(redis);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// A process uses the first primary that responds. If this server refuses writes or isn't part
    /// of the cluster, the process tries the others too. In a cluster, any node that responds leads
    /// to the node that has the keys. After a failover, the process tries all servers again. But a
    /// process doesn't leave a primary that begins to refuse writes.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no URL, if a URL is invalid, or if the URLs name different
    /// databases.
    pub fn open_any(urls: impl IntoIterator<Item = impl AsRef<str>>) -> Result<Self, Error> {
        let clients = urls.into_iter().map(|url| client(url.as_ref()));
        let clients: Vec<_> =
            clients.collect::<Result<_, _>>().map_err(|error| failed(ACTION, error))?;
        let mut databases =
            clients.iter().map(|client| client.get_connection_info().redis_settings().db());
        let Some(first) = databases.next() else {
            return Err(failed(ACTION, "the list of URLs is empty"));
        };
        if databases.any(|database| database != first) {
            return Err(failed(ACTION, "the URLs name different databases"));
        }
        Ok(Self { servers: Servers::new(clients, CONNECT_TIMEOUT) })
    }

    /// Creates a `Redis` for the primary that Sentinel names.
    ///
    /// In `url`, the host is the primary's name, as in `sentinel monitor`. List at least three
    /// Sentinels and [set up the servers](crate::running#with-replicas) for this.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// let sentinels = [1, 2, 3].map(|id| format!("redis://sentinel-{id}.internal:26379/"));
    /// let redis = Redis::open_by_sentinel("redis://app:secret@mymaster/0", sentinels)?;
    /// # drop(redis);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// The user, password and database in `url` are for the servers, not for the Sentinels. A
    /// Sentinel's own URL needs the Sentinel's port, usually 26379, and password, if any.
    ///
    /// A process connects to the server that more Sentinels name than any other, because a Sentinel
    /// that is cut off from the others can name an old primary. Sentinels that answer a second
    /// later than another don't count. A connected process asks again every 10 seconds.
    ///
    /// # Errors
    ///
    /// Returns an error if `sentinels` is empty, if a URL is invalid, or if the Sentinels' URLs
    /// name different databases.
    pub fn open_by_sentinel(
        url: &str,
        sentinels: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Result<Self, Error> {
        let mut redis = Self::open(url)?;
        redis.servers.sentinels = Self::open_any(sentinels)?.servers.clients;
        Ok(redis)
    }

    /// Sets the certificates of TLS connections (feature `tls`). By default, the program trusts the
    /// [root certificates of the machine](crate#tls) and sends no certificate of its own.
    ///
    /// ```no_run
    /// # use std::fs;
    /// # use tower_sse_redis::{Redis, Tls};
    /// # fn run() -> Result<(), Box<dyn std::error::Error>> {
    /// let tls = Tls::new()
    ///     .authority(fs::read("ca.pem")?)
    ///     .identity(fs::read("client.pem")?, fs::read("client.key")?);
    /// let redis = Redis::open("rediss://redis.internal/")?.tls(tls)?;
    /// # _ = redis;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error if a certificate or the key isn't valid PEM, or if a server's URL isn't for
    /// TLS (`rediss://` or `valkeys://`). A Sentinel's URL needn't use TLS.
    #[cfg(feature = "tls")]
    #[cfg_attr(docsrs, doc(cfg(feature = "tls")))]
    pub fn tls(mut self, tls: Tls) -> Result<Self, Error> {
        let Servers { clients, sentinels, .. } = &mut self.servers;
        let sentinels = sentinels.iter_mut().filter(|sentinel| is_tls(sentinel));
        set_up(tls, clients.iter_mut().chain(sentinels)).map(|()| self)
    }

    /// Sets a closure that fetches the user and the password, for credentials that change at run
    /// time. By default, the credentials in the URL are used.
    ///
    /// Each attempt to connect calls the closure. If Redis refuses the credentials, the attempt
    /// calls the closure once more. The attempt fails if the closure returns an error or takes
    /// longer than the [time limit](Self::timeout).
    ///
    /// If Redis closes a connection because its credentials have expired, the process reconnects
    /// with new credentials.
    ///
    /// ```no_run
    /// # use tower_sse::BoxError;
    /// # use tower_sse_redis::{Credentials, Redis};
    /// # async fn fetch_token() -> Result<String, BoxError> { Ok(String::new()) }
    /// let redis = Redis::open("rediss://redis.internal/")?.credentials(|| async {
    ///     let token = fetch_token().await?;
    ///     Ok::<_, BoxError>(Credentials::new("app", token))
    /// });
    /// # drop(redis);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn credentials<F, Fut, E>(mut self, closure: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        self.servers.provider = Some(CredentialsProvider::new(closure));
        self
    }

    /// Limits how long Redis may take to accept a connection and to answer a command. The default
    /// is 3 seconds. For slow links, raise this limit and the
    /// [`publish_deadline`](crate::RedisBroker::publish_deadline).
    ///
    /// If Redis takes longer, `Hub::connect` can return an error. A connected hub reconnects.
    ///
    /// Runs also derive limits from their [lease](crate::RedisRuns::lease), so raise the lease too:
    /// the shorter limit applies. For a connection, runs wait at most an eighth of the lease, or 1
    /// second if that's longer. For most replies, they wait a quarter of the lease, but at least 2
    /// seconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let redis = Redis::open("redis://127.0.0.1/")?.timeout(Duration::from_secs(10));
    /// # drop(redis);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `timeout` is less than 3 seconds: a read waits up to 2 seconds for an event.
    #[track_caller]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        assert!(timeout >= CONNECT_TIMEOUT, "a timeout must not be less than {CONNECT_TIMEOUT:?}");
        self.servers.timeout = timeout;
        self
    }
}

fn client(url: &str) -> RedisResult<Client> {
    let info = url.into_connection_info()?;
    // By default, the client sends `CLIENT SETINFO`, for which Redis users would need another
    // permission.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    Client::open(info.set_redis_settings(settings))
}

#[cfg(test)]
mod tests {
    use super::Redis;

    #[test]
    fn lists_of_unrelated_urls_are_refused() {
        let refusals: [(&[&str], &str); 3] = [
            (&[], "empty"),
            (&["redis://a/1", "redis://b/2"], "different databases"),
            (&["redis://a/", "http://b/"], "URL"),
        ];
        for (urls, reason) in refusals {
            let error = format!("{:?}", Redis::open_any(urls).unwrap_err());
            assert!(error.contains(reason), "{error}");
        }
    }
}
