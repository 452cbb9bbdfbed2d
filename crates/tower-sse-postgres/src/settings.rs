use std::sync::atomic::{AtomicI32, AtomicI64};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::{sync::Notify, time::Instant};
use tokio_postgres::Config;
use tokio_postgres::config::{Host, LoadBalanceHosts, TargetSessionAttrs};
use tower_sse_broker::__private::{CredentialsProvider, Identity};
use tower_sse_broker::tasks::lock;

use crate::{Error, Health, error::failed, log_row::LogRow};

/// How long one address may take to accept a connection, unless the connection string sets another
/// limit.
const ADDRESS_LIMIT: Duration = Duration::from_secs(3);

/// What all connections of a hub share.
pub(crate) struct Settings {
    pub(crate) config: Config,
    pub(crate) encryption: Encryption,
    pub(crate) provider: Option<CredentialsProvider>,
    pub(crate) schema: String,
    pub(crate) stream: String,
    /// Whether the hub listens for notifications and sends them.
    pub(crate) listens: bool,
    pub(crate) wakes: Wakes,
    pub(crate) health: Health,
    pub(crate) clock: Clock,
    /// The id of a transaction, 0 when a session begins. Normally, all inbox rows of transactions
    /// with lower ids are numbered. In case one isn't, some polls and batches look at the whole
    /// inbox.
    pub(crate) covered: AtomicI64,
    /// The row that the last batch has returned and the identity of the row before it, until the
    /// reader takes them.
    pub(crate) added: Mutex<Option<(Identity, LogRow)>>,
    /// The time until which batches send no notifications, because the server's queue was full.
    pub(crate) quiet_until: Mutex<Option<Instant>>,
}

/// The wake-ups of the reader (the hub's task that follows the log).
#[derive(Clone, Default)]
pub(crate) struct Wakes {
    /// Notified when the inbox may have rows.
    pub(crate) inbox: Arc<Notify>,
    /// Notified when another hub has added rows to the log, and by the test in `listen`.
    pub(crate) log: Arc<Notify>,
    /// Notified when this process may have added rows.
    pub(crate) added: Arc<Notify>,
    /// The server's process id for the publishers' connection, whose notifications are ignored:
    /// `added` wakes the reader earlier. Zero if the hub does not listen.
    pub(crate) own: Arc<AtomicI32>,
}

impl Wakes {
    /// Returns the wake-up that a notification with this payload requests.
    pub(crate) fn of(&self, payload: &str) -> &Notify {
        if payload == "log" { &self.log } else { &self.inbox }
    }
}

#[derive(Clone)]
pub(crate) enum Encryption {
    None,
    #[cfg(feature = "tls")]
    Tls(tokio_postgres_rustls::MakeRustlsConnect),
}

impl Settings {
    /// Sets the options that every hub needs, and the defaults of options that the address leaves
    /// out.
    pub(crate) fn with_defaults(mut self) -> Self {
        // A standby cannot serve a hub, so require a server that accepts writes. The first address
        // may not respond, so try the addresses in random order.
        self.config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        self.config.load_balance_hosts(LoadBalanceHosts::Random);
        if self.config.get_connect_timeout().is_none() {
            self.config.connect_timeout(ADDRESS_LIMIT);
        }
        if self.config.get_application_name().is_none() {
            self.config.application_name(format!("tower-sse {}", self.stream));
        }
        self
    }
}

/// Returns one configuration for each host of `config`, in random order. Returns none if there is
/// one host only, or if the client library refuses `config` because its lists don't fit together.
pub(crate) fn each_host(config: &Config) -> Vec<Config> {
    let (hosts, addresses) = (config.get_hosts().len(), config.get_hostaddrs().len());
    let (count, ports) = (hosts.max(addresses), config.get_ports().len());
    let fits = hosts.min(addresses) == 0 || hosts == addresses;
    if count < 2 || !fits || (ports > 1 && ports != count) {
        return Vec::new();
    }
    let mut configs: Vec<_> = (0..count).map(|place| only_host(config, place)).collect();
    fastrand::shuffle(&mut configs);
    configs
}

/// Copies each parameter, because the client library cannot remove a host from a configuration.
fn only_host(config: &Config, place: usize) -> Config {
    let mut only = Config::new();
    match config.get_hosts().get(place) {
        Some(Host::Tcp(host)) => _ = only.host(host),
        #[cfg(unix)]
        Some(Host::Unix(path)) => _ = only.host_path(path),
        None => {}
    }
    let ports = config.get_ports();
    _ = config.get_hostaddrs().get(place).map(|address| only.hostaddr(*address));
    _ = ports.get(place).or(ports.first()).map(|port| only.port(*port));
    _ = config.get_user().map(|user| only.user(user));
    _ = config.get_password().map(|password| only.password(password));
    _ = config.get_dbname().map(|database| only.dbname(database));
    _ = config.get_options().map(|options| only.options(options));
    _ = config.get_application_name().map(|name| only.application_name(name));
    _ = config.get_connect_timeout().map(|limit| only.connect_timeout(*limit));
    _ = config.get_tcp_user_timeout().map(|limit| only.tcp_user_timeout(*limit));
    _ = config.get_keepalives_interval().map(|interval| only.keepalives_interval(interval));
    _ = config.get_keepalives_retries().map(|retries| only.keepalives_retries(retries));
    only.keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .load_balance_hosts(config.get_load_balance_hosts());
    only
}

/// The maximum length of an identifier in bytes. The server truncates longer identifiers.
const MAX_IDENTIFIER: usize = 63;

/// Returns `name` if it consists of 1 to 63 lower-case letters, digits and underscores and doesn't
/// begin with a digit. Otherwise, returns an error. Quotes alone wouldn't make other names safe,
/// because [`SCHEMA`](crate::SCHEMA) has the name in function bodies.
pub(crate) fn schema_name(name: String) -> Result<String, Error> {
    let is_valid = (1..=MAX_IDENTIFIER).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
        && !name.starts_with(|first: char| first.is_ascii_digit());
    if is_valid {
        return Ok(name);
    }
    let reason = format!(
        "{name:?} is not an identifier of lower-case letters, digits and underscores, which begins \
         with no digit and has at most {MAX_IDENTIFIER} bytes"
    );
    Err(failed("set the name of the schema", reason))
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// An estimate of the server's clock, from the newest time that the server has sent.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<(Duration, Instant)>);

impl Clock {
    pub(crate) fn new() -> Self {
        Self(Mutex::new((Duration::ZERO, Instant::now())))
    }

    /// Sets the clock to a time that the server has just sent.
    pub(crate) fn set(&self, now: SystemTime) {
        *lock(&self.0) = (since_epoch(now), Instant::now());
    }

    /// Returns the server's estimated time since 1970.
    pub(crate) fn now(&self) -> Duration {
        let (time, at) = *lock(&self.0);
        time.saturating_add(at.elapsed())
    }

    pub(crate) fn age_of(&self, time: SystemTime) -> Duration {
        self.now().saturating_sub(since_epoch(time))
    }
}

/// Returns the time since 1970, or zero for an earlier time.
pub(crate) fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use tokio_postgres::Config;

    use super::each_host;

    fn parsed(hosts: &str) -> Config {
        let address = format!(
            "{hosts} user=u password=p dbname=d options=o application_name=n sslmode=require
            sslnegotiation=direct connect_timeout=1 tcp_user_timeout=2 keepalives=0
            keepalives_idle=3 keepalives_interval=4 keepalives_retries=5
            target_session_attrs=read-write channel_binding=require load_balance_hosts=random"
        );
        address.parse().unwrap()
    }

    #[test]
    fn configuration_of_one_host_has_all_parameters() {
        for (hosts, each) in [
            ("host=a,b port=1,2", ["host=a port=1", "host=b port=2"]),
            ("host=a,/b port=1", ["host=a port=1", "host=/b port=1"]),
            ("hostaddr=::1,::2", ["hostaddr=::1", "hostaddr=::2"]),
            ("host=a,b hostaddr=::1,::2", ["host=a hostaddr=::1", "host=b hostaddr=::2"]),
        ] {
            let configs = each_host(&parsed(hosts));
            assert_eq!(configs.len(), 2);
            assert!(each.iter().all(|one| configs.contains(&parsed(one))), "{hosts}");
        }
    }

    #[test]
    fn lists_that_do_not_fit_are_left_to_the_client_library() {
        for hosts in ["host=a", "host=a,b hostaddr=::1", "host=a,b port=1,2,3"] {
            assert!(each_host(&parsed(hosts)).is_empty(), "{hosts}");
        }
    }
}
