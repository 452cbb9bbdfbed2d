//! The addresses that the examples listen on, as separate processes.

use std::{
    env,
    io::{BufRead, BufReader, Lines},
    net::{SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    process::{Child, ChildStdout, Command, Stdio},
};

const EXAMPLES: [&str; 14] = [
    "chat",
    "dashboard",
    "existing_axum",
    "graceful_axum",
    "graceful_hyper",
    "graceful_tonic",
    "hyper_raw",
    "job",
    "llm_tokens",
    "metrics",
    "notifications",
    "proxy",
    "ticker",
    "tonic_web",
];

/// Returns a command that runs an example. `cargo test` builds the examples with the tests of their
/// own package, but not if only this package or only this test is selected.
fn command(name: &str, port: &str) -> Command {
    let test = env::current_exe().unwrap();
    let directory: PathBuf = test.ancestors().nth(2).unwrap().join("examples");
    let example = directory.join(name).with_extension(env::consts::EXE_EXTENSION);
    assert!(example.exists(), "first run: cargo build --examples --all-features");
    let mut command = Command::new(example);
    command.env("PORT", port);
    command
}

/// A running example, killed when this is dropped.
pub(crate) struct Process {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// Its further output.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Starts an example on a free port.
    pub(crate) fn start(name: &str) -> Self {
        let mut child = command(name, "0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next().expect("a line").unwrap();
        let rest = line.strip_prefix("listening on http://").expect(&line);
        let address = rest.split([',', '/']).next().unwrap().parse().expect(&line);
        Self { child, address, lines }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
fn every_example_listens_on_a_free_port() {
    for name in EXAMPLES.into_iter().chain(["quickstart"]) {
        let process = Process::start(name);
        let connected = TcpStream::connect(process.address);
        assert!(connected.is_ok(), "{name}: {connected:?}");
    }
}

/// Returns the one line that an example prints about a port that is in use.
fn refusal(name: &str, port: &str) -> String {
    let output = command(name, port).output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), stderr.lines().count()), (Some(1), 1), "{name}: {stderr}");
    stderr
}

#[test]
fn every_example_reports_an_address_it_cannot_bind() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    for name in EXAMPLES {
        let stderr = refusal(name, &address.port().to_string());
        assert!(stderr.starts_with(&format!("cannot listen on {address}: ")), "{name}: {stderr}");
        let stderr = refusal(name, "http");
        assert!(stderr.starts_with("cannot listen on 127.0.0.1:http: "), "{name}: {stderr}");
    }
}
