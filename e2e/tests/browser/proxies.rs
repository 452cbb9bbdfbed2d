//! The proxies whose configurations the guide shows. The pages are read here, so that what is
//! tested is what they show, except for addresses and paths.

use crate::nginx::configure;
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

    /// Returns the configuration that the page shows.
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

    /// Returns the configuration for these addresses and this certificate.
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
            // It would ask an authority for a certificate.
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

    /// Returns the command that runs the configuration in the foreground, and what is around it.
    fn command(self, program: &Path, text: &str, directory: &Path) -> Command {
        // Envoy looks at the extension, the others do not.
        let file = directory.join("configuration.yaml");
        let mut command = Command::new(program);
        let text = match self {
            Self::Nginx | Self::NewestNginx => {
                command.args(["-e", "stderr", "-p"]).arg(directory).arg("-c").arg(&file);
                configure(text)
            }
            Self::HaProxy => {
                command.arg("-f").arg(&file);
                text.to_owned()
            }
            Self::Caddy => {
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(&file);
                command.env("HOME", directory).env("XDG_DATA_HOME", directory);
                // `free_port` holds the UDP port, which HTTP/3 would need.
                let global = "admin off\n    servers {\n        protocols h1 h2\n    }";
                format!("{{\n    {global}\n    auto_https off\n}}\n{text}")
            }
            Self::Envoy => {
                command.args(["--use-dynamic-base-id", "--concurrency", "1", "-c"]).arg(&file);
                text.to_owned()
            }
        };
        write(file, text).unwrap();
        command.current_dir(directory);
        command
    }
}

/// Replaces what `text` has once.
pub(crate) fn replace(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from}");
    text.replace(from, to)
}

/// A proxy in front of a server, as its page configures it. It is killed when dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _process: Child,
    _directory: Directory,
}

impl Proxy {
    /// Starts a proxy with further changes of its configuration, if it is installed.
    pub(crate) async fn start(
        kind: Kind,
        upstream: SocketAddr,
        certificate: &Certificate,
        changes: &[(&str, &str)],
    ) -> Option<Self> {
        let program = kind.find()?;
        let address = SocketAddr::from(([127, 0, 0, 1], support::port::free_port()));
        let mut text = kind.adapted(address, upstream, certificate);
        for (from, to) in changes {
            text = replace(&text, from, to);
        }
        if kind == Kind::Nginx && is_older(&program, [1, 25, 1]).await {
            // What the page says of older versions, which do not offer the TLS of the tests either.
            text = replace(&text, "    http2 on;\n", "    ssl_protocols TLSv1.2 TLSv1.3;\n");
            text = replace(&text, " ssl;", " ssl http2;");
        }
        let directory = Directory::new("proxy");
        let log = directory.path().join("log");
        let output = File::create(&log).unwrap();
        let mut command = kind.command(&program, &text, directory.path());
        let command = command.stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = command.stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        until_async(async || {
            let exited = process.try_wait().unwrap();
            assert!(exited.is_none(), "{kind:?}: {}", read_to_string(&log).unwrap());
            tokio::net::TcpStream::connect(address).await.is_ok()
        })
        .await;
        Some(Self { address, _process: process, _directory: directory })
    }
}

/// Returns whether this is an nginx before 1.25.1, which has no directive `http2`.
pub(crate) async fn is_older(nginx: &Path, than: [u32; 3]) -> bool {
    let output = Command::new(nginx).arg("-v").output().await.unwrap();
    let output = String::from_utf8(output.stderr).unwrap();
    let (_, version) = output.trim().split_once("nginx/").expect("a version");
    let numbers: Vec<u32> = version.split(['.', ' ']).map_while(|it| it.parse().ok()).collect();
    numbers[..] < than[..]
}
