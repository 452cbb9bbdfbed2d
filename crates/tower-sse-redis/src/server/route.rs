use std::{cmp::Reverse, future::pending, sync::Mutex, time::Duration};

use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::time::sleep;
use tower_sse_broker::tasks::lock;

use super::sentinel::find_primaries;
use super::servers::{Connections, Servers, address, redirect};
use crate::{Error, ErrorKind};

/// How often a connected process asks the Sentinels for the primary.
const QUESTION_INTERVAL: Duration = Duration::from_secs(10);

/// The choice of the server that has the keys: one of the program's servers, a server that
/// Sentinels name or, after a redirect, another node of the cluster.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) servers: Servers,
    /// The name of a stream, which may be missing, at the node that has the program's keys.
    key: String,
    /// The node that a redirect named.
    redirected: Mutex<Option<Client>>,
    /// The address of the server from the last attempt to connect. `None` before the first attempt
    /// of a round, after an attempt that failed at several servers, and once it is in `useless`.
    current: Mutex<Option<String>>,
    /// The address of a server that failed or refused writes. The next attempt skips this server if
    /// there are others.
    useless: Mutex<Option<String>>,
}

impl Route {
    pub(crate) const fn new(servers: Servers, key: String) -> Self {
        let redirected = Mutex::new(None);
        Self { servers, key, redirected, current: Mutex::new(None), useless: Mutex::new(None) }
    }

    /// Begins a round of attempts, in which servers that failed in the last round are tried again.
    pub(crate) fn begin(&self) {
        (*lock(&self.current), *lock(&self.useless)) = (None, None);
    }

    /// Opens connections to the chosen server, as [`Servers::connect`] does.
    pub(crate) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        name: &str,
    ) -> Result<Connections, Error> {
        let redirected = lock(&self.redirected).clone();
        let clients = match redirected {
            Some(client) => vec![client],
            None => self.candidates().await?,
        };
        let mut current = clients.first().filter(|_| clients.len() == 1).map(address);
        let opened = self.servers.connect(&clients, config, name, &self.key, &mut current).await;
        lock(&self.useless).take_if(|it| current.as_ref().is_some_and(|current| current != it));
        *lock(&self.current) = current;
        // If the `redirected` node failed, the next attempt begins at the program's own servers.
        opened.inspect_err(|_| *lock(&self.redirected) = None)
    }

    /// Returns clients for the servers to try: the program's own, or the server that more Sentinels
    /// name than any other. Skips the useless server if there are others.
    async fn candidates(&self) -> Result<Vec<Client>, Error> {
        let Servers { clients, sentinels, .. } = &self.servers;
        let useless = lock(&self.useless).clone();
        let is_useless = |client: &Client| useless.as_ref() == Some(&address(client));
        if sentinels.is_empty() {
            let useful: Vec<_> = clients.iter().filter(|it| !is_useless(it)).cloned().collect();
            return Ok(if useful.is_empty() { clients.clone() } else { useful });
        }
        let named = find_primaries(&self.servers).await?.into_iter();
        let best = named.min_by_key(|(client, votes)| (is_useless(client), Reverse(*votes)));
        Ok(best.into_iter().map(|(client, _)| client).collect())
    }

    /// Completes with an error once most of the program's Sentinels name a server other than the
    /// current one. A minority may be cut off from the others: it can't cause a failover.
    pub(crate) async fn replaced(&self) -> Error {
        while !self.servers.sentinels.is_empty() {
            sleep(QUESTION_INTERVAL).await;
            let named = find_primaries(&self.servers).await.unwrap_or_default();
            let listed = self.servers.sentinels.len();
            let most = named.iter().find(|(_, votes)| votes * 2 > listed);
            let most = most.map(|(client, _)| address(client));
            if most.is_some() && most != *lock(&self.current) {
                let text = "most Sentinels name another server".to_owned();
                return Error::new("stay with the server", ErrorKind::ReadOnly, text);
            }
        }
        pending().await
    }

    /// Returns whether there may be a server that has not been tried yet.
    pub(crate) fn has_others(&self) -> bool {
        let Servers { clients, sentinels, .. } = &self.servers;
        clients.len().max(sentinels.len()) > 1 && *lock(&self.useless) != *lock(&self.current)
    }

    /// Chooses the server of the next attempt: the node to which `error` redirects or, without a
    /// redirect, any server but the current one. Returns whether there may be such a server.
    pub(crate) fn follow(&self, error: &Error) -> bool {
        // `ASK` names a node that does not have the slot yet. That node would redirect back.
        let moved = error.cause::<RedisError>().filter(|error| error.code() == Some("MOVED"));
        let mut redirected = lock(&self.redirected);
        let (clients, current) = (&self.servers.clients, lock(&self.current).clone());
        let current = clients.iter().find(|client| current == Some(address(client)));
        let from = redirected.as_ref().or(current).or(clients.first());
        *redirected = moved
            .and_then(RedisError::redirect_node)
            .and_then(|(address, _)| redirect(from?, address));
        let has_others = self.has_others();
        if redirected.is_none() {
            *lock(&self.useless) = lock(&self.current).take();
        }
        redirected.is_some() || has_others
    }
}

#[cfg(test)]
mod tests {
    use super::Route;
    use crate::{Redis, server::error::failed};

    fn route() -> Route {
        route_of(&Redis::open("redis://user:secret@seed:6379/").unwrap())
    }

    fn route_of(redis: &Redis) -> Route {
        Route::new(redis.servers.clone(), "key".to_owned())
    }

    fn follow(route: &Route, reply: &str) -> bool {
        let reply = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        route.follow(&failed("test", reply.extract_error().unwrap_err()))
    }

    /// Returns the address of the node to which the next connection is redirected.
    fn address(route: &Route) -> Option<String> {
        let redirected = route.redirected.lock().unwrap();
        redirected.as_ref().map(|client| client.get_connection_info().addr().to_string())
    }

    #[test]
    fn redirect_is_followed_until_another_error() {
        let route = route();
        for (error, to) in [
            ("MOVED 7 node:7001", Some("node:7001")),
            ("MOVED 7 :7002", Some("node:7002")),
            ("CLUSTERDOWN Hash slot not served", None),
            ("MOVED 7 :7003", Some("seed:7003")),
        ] {
            assert_eq!(follow(&route, error), to.is_some(), "{error}");
            assert_eq!(address(&route).as_deref(), to, "{error}");
        }
        let redirected = route.redirected.lock().unwrap().clone().unwrap();
        let settings = redirected.get_connection_info().redis_settings().clone();
        assert_eq!((settings.username(), settings.password()), (Some("user"), Some("secret")));
    }

    #[test]
    fn redirect_without_a_host_names_the_server_that_redirects() {
        let route = route_of(&Redis::open_any(["redis://seed/", "redis://other/"]).unwrap());
        *route.current.lock().unwrap() = Some("other:6379".to_owned());
        assert!(follow(&route, "MOVED 7 :7001"));
        assert_eq!(address(&route).as_deref(), Some("other:7001"));
    }

    #[test]
    fn redirect_of_one_command_is_not_followed() {
        let route = route();
        assert!(!follow(&route, "ASK 7 node:7001"));
        assert_eq!(address(&route), None);
    }
}
