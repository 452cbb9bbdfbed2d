use nix::sys::{prctl, signal::Signal};

use super::upstream::Order;
use crate::*;

/// How many clients a relay has.
pub const CLIENTS: usize = 100;

/// The relay under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// axum, which sends the body of hyper's client on.
    Axum,
    /// The same under `SseLayer`.
    Layer,
    /// The same with a filter that reads the data of each event, without `SseLayer`.
    Looks,
    /// The same with that filter, under `SseLayer`.
    LayerLooks,
    /// The same with a filter that changes the data of each event, without `SseLayer`.
    Changes,
    /// axum with an `EventBody` of a `MessageStream`, under `SseLayer`.
    Messages,
    Nginx,
    /// `ReverseProxy` of Go's standard library.
    Go,
    /// Node's `http`, by a `pipe` of its streams.
    Node,
}

impl Subject {
    pub const ALL: [(&'static str, Self); 9] = [
        ("axum", Self::Axum),
        ("axum-layer", Self::Layer),
        ("axum-looks", Self::Looks),
        ("axum-layer-looks", Self::LayerLooks),
        ("axum-changes", Self::Changes),
        ("axum-messages", Self::Messages),
        ("nginx", Self::Nginx),
        ("go", Self::Go),
        ("node", Self::Node),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, subject)| subject)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, subject)| *subject == self).map_or("", |(name, _)| name)
    }

    /// Returns the events that its clients must receive.
    pub fn template(self) -> Template {
        if self == Self::Changes { Template::redacted() } else { Template::new() }
    }

    /// Returns the command that starts the relay.
    pub fn command(self, upstream: SocketAddr) -> io::Result<Command> {
        let this = env::current_exe()?;
        let mut command = match self {
            Self::Go => Command::new(installed(&this).join("relay_go")),
            Self::Node => Command::new("node"),
            _ => Command::new(&this),
        };
        match self {
            Self::Go => {}
            Self::Node => {
                let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
                command.arg(peers.join("relay.mjs"));
            }
            _ => _ = command.args(["serve", self.name()]),
        }
        command.arg(upstream.to_string());
        Ok(command)
    }

    /// Returns whether it is installed: only Go may be missing.
    pub fn is_installed(self) -> bool {
        let this = env::current_exe().unwrap_or_default();
        self != Self::Go || installed(&this).join("relay_go").exists()
    }
}

/// Returns where `relay.sh` puts the relay in Go, and nginx its files: `peers` in the target
/// directory, next to the `release` directory of this program.
pub fn installed(this: &Path) -> PathBuf {
    this.ancestors().nth(2).unwrap_or(this).join("peers")
}

/// How the upstream sends events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// One event every 20 ms to each client, out of step.
    Paced,
    /// As fast as the relay takes them.
    Fast,
}

impl Pace {
    pub const ALL: [(&'static str, Self); 2] = [("paced", Self::Paced), ("fast", Self::Fast)];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, pace)| pace)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, pace)| *pace == self).map_or("", |(name, _)| name)
    }

    /// Returns enough events for a precise measurement of some seconds. Those that write many events
    /// at once get more of them.
    pub const fn order(self, subject: Subject) -> Order {
        let (events, gap_ms) = match (self, subject) {
            (Self::Paced, _) => (200, 20),
            (Self::Fast, Subject::Nginx | Subject::Go) => (20_000, 0),
            (Self::Fast, Subject::Node) => (4_000, 0),
            (Self::Fast, _) => (2_000, 0),
        };
        Order { events, gap: Duration::from_millis(gap_ms) }
    }
}

/// Becomes nginx, in one process without a master. Clients may have to try until it listens.
pub fn serve_nginx(upstream: SocketAddr) {
    let address = free_address().expect("a port");
    let directory = installed(&env::current_exe().expect("a path")).join("nginx");
    fs::create_dir_all(&directory).expect("a directory");
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration(address, upstream)).expect("a file written");
    // nginx does not watch its standard input.
    prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal");
    println!("listening on {address}");
    let mut command = Command::new("nginx");
    command.arg("-p").arg(&directory).arg("-c").arg(&path).args(["-e", "stderr"]);
    panic!("nginx: {}", command.exec());
}

fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

/// Returns a configuration for event streams, as nginx's documentation of its proxy module has it.
fn configuration(address: SocketAddr, upstream: SocketAddr) -> String {
    format!(
        "daemon off;
        master_process off;
        error_log stderr error;
        pid nginx.pid;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            server {{
                listen {address};
                location / {{
                    proxy_pass http://{upstream};
                    proxy_http_version 1.1;
                    proxy_set_header Connection '';
                    proxy_buffering off;
                }}
            }}
        }}"
    )
}
