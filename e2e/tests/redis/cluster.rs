use std::path::Path;

use tokio::process::Command;

use crate::*;

/// A Sentinel that watches one server and its replica, if any. Dropping this value kills the
/// Sentinel.
pub(crate) struct Sentinel {
    _process: tokio::process::Child,
    client: redis::Client,
    pub(crate) url: String,
}

impl Sentinel {
    pub(crate) fn start(watched: &Server) -> Self {
        Self::start_with(watched.directory(), watched.port(), &[])
    }

    /// Starts a Sentinel that has the server's certificate. Also returns the Sentinel's URL for
    /// TLS.
    pub(crate) fn start_secure(
        Secure { server, certificate, port, .. }: &Secure,
    ) -> (Self, String) {
        let own_port = free_port();
        let lines = [
            format!("tls-port {own_port}"),
            "tls-ca-cert-file ca.crt".to_owned(),
            format!("tls-cert-file {certificate}.crt"),
            format!("tls-key-file {certificate}.key"),
            "tls-auth-clients no".to_owned(),
            // This line is for TLS on the Sentinel's own connections to the server.
            "tls-replication yes".to_owned(),
        ];
        let sentinel = Self::start_with(server.directory(), *port, &lines);
        (sentinel, format!("rediss://:watch@localhost:{own_port}/"))
    }

    fn start_with(directory: &Path, watched: u16, options: &[String]) -> Self {
        let port = free_port();
        // Sentinel writes to its configuration, in which it remembers the replicas.
        let file = directory.join("sentinel.conf");
        let lines = [
            format!("port {port}"),
            "bind 127.0.0.1".to_owned(),
            format!("dir {}", directory.display()),
            options.join("\n"),
            // As the crate's documentation shows for TLS.
            "sentinel resolve-hostnames yes".to_owned(),
            "sentinel announce-hostnames yes".to_owned(),
            format!("sentinel monitor hub 127.0.0.1 {watched} 1"),
            "sentinel down-after-milliseconds hub 300".to_owned(),
            "sentinel failover-timeout hub 3000".to_owned(),
            // The servers do not have this password.
            "requirepass watch".to_owned(),
        ];
        fs::write(&file, lines.join("\n")).unwrap();
        let process = Command::new(program().unwrap())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let url = format!("redis://:watch@127.0.0.1:{port}/");
        let client = redis::Client::open(url.as_str()).unwrap();
        Self { _process: process, client, url }
    }

    /// Returns a `Redis` that asks a list of two Sentinels for the primary: one that is down, and
    /// this one.
    pub(crate) fn redis(&self) -> Redis {
        let nobody = format!("redis://127.0.0.1:{}/", free_port());
        Redis::open_by_sentinel("redis://hub/", [&nobody, &self.url]).unwrap()
    }

    /// Returns the port of the primary, or `None` while Sentinel does not answer.
    pub(crate) async fn primary(&self) -> Option<u16> {
        let mut connection = connect(&self.client).await.ok()?;
        let mut command = redis::cmd("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg("hub");
        let (_, port): (String, String) = command.query_async(&mut connection).await.ok()?;
        port.parse().ok()
    }

    /// Returns whether Sentinel knows the replica, and so can promote it.
    pub(crate) async fn knows_replica(&self) -> bool {
        self.ask("REPLICAS").await.is_ok_and(|replicas| {
            replicas.into_sequence().is_ok_and(|replicas| !replicas.is_empty())
        })
    }

    /// Promotes the replica although the server runs. Returns whether Sentinel has accepted this.
    pub(crate) async fn fail_over(&self) -> bool {
        self.ask("FAILOVER").await.is_ok()
    }

    /// Returns what Sentinel thinks of the primary, such as `master` or `s_down,master`, or `None`
    /// while Sentinel does not answer.
    pub(crate) async fn flags(&self) -> Option<String> {
        let primary = self.ask("MASTER").await.ok()?;
        redis::from_redis_value::<HashMap<String, String>>(primary).unwrap().remove("flags")
    }

    async fn ask(&self, what: &str) -> redis::RedisResult<redis::Value> {
        let mut connection = connect(&self.client).await?;
        redis::cmd("SENTINEL").arg(what).arg("hub").query_async(&mut connection).await
    }
}

/// Leads the proxies to the server that Sentinel names, until the returned value is dropped. The
/// proxies stand in for a host name that follows Sentinel.
pub(crate) fn follow_name(
    sentinel: Arc<Sentinel>,
    proxies: Vec<Proxy>,
    mut current: u16,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            if let Some(port) = sentinel.primary().await.filter(|port| *port != current) {
                current = port;
                proxies.iter().for_each(|proxy| proxy.switch_to(port));
            }
            sleep(Duration::from_millis(20)).await;
        }
    }))
}
