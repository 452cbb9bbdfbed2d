use crate::*;

/// The server under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The hub, the layer with its heartbeat, and axum as router and server.
    Hub,
    /// The hub and axum, without the layer.
    HubOnly,
    /// axum's `Sse` of a `tokio::sync::broadcast` channel, on the same server.
    Axum,
    /// axum's `Sse` of a channel, with its `KeepAlive`.
    AxumKeepAlive,
    /// better-sse, from npm.
    BetterSse,
    /// sse-starlette, from PyPI.
    SseStarlette,
}

impl Subject {
    pub const ALL: [(&'static str, Self); 6] = [
        ("hub", Self::Hub),
        ("hub-only", Self::HubOnly),
        ("axum", Self::Axum),
        ("axum-keep-alive", Self::AxumKeepAlive),
        ("better-sse", Self::BetterSse),
        ("sse-starlette", Self::SseStarlette),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, subject)| subject)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, subject)| *subject == self).map_or("", |(name, _)| name)
    }

    pub const fn is_ours(self) -> bool {
        matches!(self, Self::Hub | Self::HubOnly)
    }

    /// Returns whether the server is written in another language.
    pub const fn is_foreign(self) -> bool {
        matches!(self, Self::BetterSse | Self::SseStarlette)
    }

    /// Returns the command that starts the server.
    pub fn command(self) -> io::Result<Command> {
        let this = env::current_exe()?;
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        Ok(match self {
            Self::Hub | Self::HubOnly | Self::Axum | Self::AxumKeepAlive => {
                let mut command = Command::new(this);
                command.args(["serve", self.name()]);
                command
            }
            Self::BetterSse => {
                let mut command = Command::new("node");
                command.arg(scripts.join("better_sse.mjs")).arg(installed(&this));
                command
            }
            Self::SseStarlette => {
                let mut command = Command::new(installed(&this).join("venv/bin/python"));
                command.arg(scripts.join("starlette_server.py"));
                command
            }
        })
    }
}

/// Returns where `fan_out.sh` installs the peers of other languages: `peers` in the target
/// directory, next to the `release` directory of this program.
fn installed(this: &Path) -> PathBuf {
    this.ancestors().nth(2).unwrap_or(this).join("peers")
}

/// How events are published and how many subscribers receive them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// The publisher yields after each event. On one thread not all subscribers get a turn in
    /// between, so in Rust a subscriber is about 16 events behind when it gets its own.
    Saturated,
    /// The publisher yields after every 32 events.
    Bursts,
    /// One event at a time, published once every subscriber has received the one before.
    Paced,
    /// One event every 5 ms, for one subscriber.
    Latency,
    /// Saturated, with one more subscriber that does not read.
    Stalled,
    /// Stalled, without the subscriber that does not read.
    Unstalled,
}

/// The publisher's instructions.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub events: u64,
    pub burst: u64,
    /// The pause between bursts; zero only yields.
    pub gap: Duration,
}

impl Regime {
    pub const ALL: [(&'static str, Self); 6] = [
        ("saturated", Self::Saturated),
        ("bursts", Self::Bursts),
        ("paced", Self::Paced),
        ("latency", Self::Latency),
        ("stalled", Self::Stalled),
        ("unstalled", Self::Unstalled),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, regime)| regime)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, regime)| *regime == self).map_or("", |(name, _)| name)
    }

    /// Returns whether events are far enough apart that each has a delay of its own.
    pub const fn has_delays(self) -> bool {
        matches!(self, Self::Paced | Self::Latency)
    }

    /// Returns enough events for a precise measurement, and no more than axum's channel keeps for a
    /// subscriber that has not had its turn: a subscriber that lost events would invalidate the
    /// run.
    pub fn plan(self, subject: Subject, subscribers: usize) -> Plan {
        let slow = match subject {
            Subject::BetterSse => 12,
            Subject::SseStarlette => 24,
            _ => 1,
        };
        let thousands = (subscribers as u64).div_ceil(1_000);
        let (events, burst, gap_ms) = match self {
            Self::Saturated => (4_000 / slow / thousands, 1, 0),
            Self::Bursts if thousands > 1 => (1_600 / slow, 32, 0),
            Self::Bursts => (4_000 / slow / 32 * 32, 32, 0),
            Self::Paced if subject == Subject::SseStarlette => (40, 1, 100 * thousands),
            Self::Paced => (150 / thousands, 1, 40 * thousands),
            Self::Latency => (400, 1, 5),
            Self::Stalled | Self::Unstalled => (8_000 / slow / thousands, 1, 0),
        };
        Plan { events: events.max(burst), burst, gap: Duration::from_millis(gap_ms) }
    }
}

impl Plan {
    /// Returns the request path that starts the publisher.
    pub fn path(self) -> String {
        let Self { events, burst, gap } = self;
        format!("/publish?events={events}&burst={burst}&gap_ms={}", gap.as_millis())
    }
}
