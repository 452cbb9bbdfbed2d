use std::sync::Mutex;

use redis::{AsyncConnectionConfig, Client, RedisError};
use tower_sse_broker::tasks::lock;

use super::sentinel::find_primary;
use super::servers::{Connections, Servers, redirect};
use crate::Error;

/// Leads connections to the server that has the keys: one of the program's servers, or another node
/// of their cluster.
#[derive(Debug)]
pub(crate) struct Route {
    pub(crate) servers: Servers,
    /// The node that a redirect named.
    redirected: Mutex<Option<Client>>,
}

impl Route {
    pub(crate) const fn new(servers: Servers) -> Self {
        Self { servers, redirected: Mutex::new(None) }
    }

    /// Opens connections as [`Servers::connect`] does.
    pub(crate) async fn connect<const N: usize>(
        &self,
        configs: &[AsyncConnectionConfig; N],
        name: &str,
    ) -> Result<Connections<N>, Error> {
        let redirected = lock(&self.redirected).clone();
        let clients = match redirected {
            Some(client) => vec![client],
            None => self.candidates().await?,
        };
        let opened = self.servers.connect(&clients, configs, name).await;
        // The program's servers can redirect the next attempt.
        opened.inspect_err(|_| *lock(&self.redirected) = None)
    }

    /// Returns clients for the servers, one of which may be the primary.
    async fn candidates(&self) -> Result<Vec<Client>, Error> {
        let Servers { clients, sentinels, timeout, server_name, .. } = &self.servers;
        let Some(client) = clients.first().filter(|_| !sentinels.is_empty()) else {
            return Ok(clients.clone());
        };
        let found = find_primary(sentinels, client, *timeout, server_name.as_deref());
        found.await.map(|client| vec![client])
    }

    /// Returns whether `error` redirects to the node that has the keys. Later connections then lead
    /// to that node, and otherwise to the program's servers.
    pub(crate) fn follow(&self, error: &Error) -> bool {
        // `ASK` names a node that has the key, but not yet the slot, and would redirect back.
        let moved = error.client_error().filter(|error| error.code() == Some("MOVED"));
        let mut redirected = lock(&self.redirected);
        let from = redirected.as_ref().or(self.servers.clients.first());
        *redirected = moved
            .and_then(RedisError::redirect_node)
            .and_then(|(address, _)| redirect(from?, address));
        redirected.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::Route;
    use crate::{Error, Redis};

    fn route() -> Route {
        Route::new(Redis::open("redis://user:secret@seed:6379/").unwrap().servers)
    }

    fn follow(route: &Route, reply: &str) -> bool {
        let reply = redis::parse_redis_value(format!("-{reply}\r\n").as_bytes()).unwrap();
        route.follow(&Error::new("test", reply.extract_error().unwrap_err()))
    }

    /// Returns the address to which the next connection leads.
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

    /// A node has the key before it has the slot, and then redirects back.
    #[test]
    fn redirect_of_one_command_is_not_followed() {
        let route = route();
        assert!(!follow(&route, "ASK 7 node:7001"));
        assert_eq!(address(&route), None);
    }
}
