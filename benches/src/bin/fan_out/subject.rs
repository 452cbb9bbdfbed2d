use std::{path::PathBuf, process::Command};

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
