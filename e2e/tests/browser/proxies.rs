//! The proxies whose configurations the guide shows, except Traefik. The configurations are read
//! from the guide's pages. Addresses and paths are replaced, and a test can replace more.

use super::support::proxy::{configure_nginx, find_envoy, find_newest_nginx, nginx};
use crate::*;

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    Nginx,
    NewestNginx,
    HaProxy,
    Caddy,
    Envoy,
}

impl Kind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Nginx, Self::NewestNginx, Self::HaProxy, Self::Caddy, Self::Envoy];

    fn find(self) -> Option<PathBuf> {
        match self {
            Self::Nginx => find_nginx(),
            Self::NewestNginx => find_newest_nginx(),
            Self::HaProxy => find(&["haproxy"]),
            Self::Caddy => find(&["caddy"]),
            Self::Envoy => find_envoy(),
        }
    }

    pub(crate) fn documented(self) -> String {
        let (page, language) = match self {
            Self::Nginx | Self::NewestNginx => {
                (include_str!("../../../docs/guide/nginx.md"), "nginx")
            }
            Self::HaProxy => (include_str!("../../../docs/guide/other_proxies.md"), "haproxy"),
            Self::Caddy => (include_str!("../../../docs/guide/other_proxies.md"), "caddyfile"),
            Self::Envoy => (include_str!("../../../docs/guide/other_proxies.md"), "yaml"),
        };
        let (_, after) = page.split_once(&format!("```{language}\n")).expect("a configuration");
        let (lines, _) = after.split_once("```\n").expect("its end");
        lines.to_owned()
    }

    fn adapted(
        self,
        listen: SocketAddr,
        upstream: SocketAddr,
        certificate: &Certificate,
    ) -> String {
        let file = |name| certificate.file(name).display().to_string();
        let (crt, key, pem) = (file("site.crt"), file("site.key"), file("site.pem"));
        let port = listen.port();
        let changes = match self {
            Self::Nginx | Self::NewestNginx => vec![
                ("listen 443", format!("listen {listen}")),
                ("/etc/ssl/site.crt", crt),
                ("/etc/ssl/site.key", key),
            ],
            Self::HaProxy => {
                vec![("bind :443", format!("bind {listen}")), ("/etc/ssl/site.pem", pem)]
            }
            // For a domain name, Caddy would ask an authority for a certificate.
            Self::Caddy => vec![(
                "example.com {",
                format!(":{port} {{\n    bind {}\n    tls {crt} {key}", listen.ip()),
            )],
            Self::Envoy => vec![
                ("0.0.0.0, port_value: 443", format!("{}, port_value: {port}", listen.ip())),
                ("/etc/ssl/site.crt", crt),
                ("/etc/ssl/site.key", key),
            ],
        };
        let (from, to) = match self {
            Self::Envoy => {
                let upstream = format!("{}, port_value: {}", upstream.ip(), upstream.port());
                ("127.0.0.1, port_value: 3000", upstream)
            }
            _ => ("127.0.0.1:3000", upstream.to_string()),
        };
        let text = self.documented().replace(from, &to);
        changes.into_iter().fold(text, |text, (from, to)| replace(&text, from, &to))
    }

    /// Returns the command that runs a configuration in the foreground.
    fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        match self {
            Self::Nginx | Self::NewestNginx => return nginx(program),
            Self::HaProxy => command.arg("-f"),
            Self::Caddy => command.args(["run", "--adapter", "caddyfile", "--config"]),
            Self::Envoy => command.args(["--use-dynamic-base-id", "--concurrency", "1", "-c"]),
        };
        command
    }

    /// Completes the page's configuration, if it is only a part of what the proxy needs.
    fn whole(self, text: String) -> String {
        match self {
            Self::Nginx | Self::NewestNginx => configure_nginx(&text),
            Self::Caddy => {
                // `free_port` holds the UDP port, which HTTP/3 would need.
                let global = "admin off\n    servers {\n        protocols h1 h2\n    }";
                format!("{{\n    {global}\n    auto_https off\n}}\n{text}")
            }
            Self::HaProxy | Self::Envoy => text,
        }
    }

    /// Starts a proxy as its page configures it, with further changes, if it is installed.
    pub(crate) async fn start(
        self,
        upstream: SocketAddr,
        certificate: &Certificate,
        changes: &[(&str, &str)],
    ) -> Option<Proxy> {
        let program = self.find()?;
        let is_old = self == Self::Nginx && is_older(&program, [1, 25, 1]).await;
        let configure = |address| {
            let mut text = self.adapted(address, upstream, certificate);
            for (from, to) in changes {
                text = replace(&text, from, to);
            }
            if is_old {
                // Uses the page's lines for older versions. By default, these may not offer the
                // version of TLS that the tests need.
                text = replace(&text, "    http2 on;\n", "    ssl_protocols TLSv1.2 TLSv1.3;\n");
                text = replace(&text, " ssl;", " ssl http2;");
            }
            self.whole(text)
        };
        Some(Proxy::start(self.command(&program), configure).await)
    }
}

/// Replaces the only occurrence of `from`.
pub(crate) fn replace(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

pub(crate) async fn is_older(nginx: &Path, than: [u32; 3]) -> bool {
    let output = Command::new(nginx).arg("-v").output().await.unwrap();
    let output = String::from_utf8(output.stderr).unwrap();
    let (_, version) = output.trim().split_once("nginx/").expect("a version");
    let numbers: Vec<u32> = version.split(['.', ' ']).map_while(|it| it.parse().ok()).collect();
    numbers[..] < than[..]
}
