use crate::*;

/// A running example, killed when this is dropped.
pub(crate) struct Example {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// The lines up to the one with the address.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) printed: Vec<String>,
    /// Its further output.
    #[cfg_attr(not(unix), allow(dead_code))]
    pub(crate) lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts an example on a free port.
    pub(crate) fn start(name: &str) -> Self {
        Self::spawn(&mut Command::new(program(name)))
    }

    /// Starts a command, and waits until it prints the address on which it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut child = command.env("PORT", "0").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut printed = Vec::new();
        let address = loop {
            printed.push(lines.next().expect("an address").unwrap());
            if let Some(address) = address_of("", &printed) {
                break address;
            }
        };
        Self { child, address, printed, lines }
    }

    /// Sends a SIGTERM.
    #[cfg(unix)]
    pub(crate) fn terminate(&self) {
        use nix::{sys::signal, unistd::Pid};
        let id = Pid::from_raw(self.child.id().try_into().unwrap());
        signal::kill(id, signal::Signal::SIGTERM).unwrap();
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// The packages of the examples that these tests run.
const PACKAGES: [&str; 3] = ["tower-sse", "tower-sse-redis", "tower-sse-tonic"];

/// Returns the path of an example. `cargo test` builds the examples with the tests of their own
/// package, but not if only this package or only this test is selected.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let directory = test.ancestors().nth(2).unwrap();
    // Where Cargo puts examples, and the programs of an example that is a package.
    let mut places = [directory.join("examples"), directory.to_owned()]
        .map(|place| place.join(name).with_extension(env::consts::EXE_EXTENSION))
        .into_iter();
    places.find(|program| program.exists()).unwrap_or_else(|| {
        let packages = PACKAGES.map(|name| format!("--package {name} ")).concat();
        panic!("first run: cargo build {packages}--bins --examples --all-features")
    })
}

/// Returns the address that an example has printed behind a label.
pub(crate) fn address_of(label: &str, printed: &[String]) -> Option<SocketAddr> {
    let start = format!("{label}listening on http://");
    let line = printed.iter().find_map(|line| line.strip_prefix(&start))?;
    line.split(',').next()?.parse().ok()
}

/// Opens a stream, after this last event id if it is not empty.
pub(crate) async fn open(address: SocketAddr, path: &str, last: &str) -> EventReader<Incoming> {
    let headers = [("cookie", "visitor=ann"), ("last-event-id", last)];
    EventReader::new(client::get(address, path, &headers).await)
}

/// Posts a text, and returns the text of the answer.
pub(crate) async fn post(address: SocketAddr, path: &str, text: &str) -> String {
    let headers = [("content-type", "application/json")];
    let response = client::post(address, path, &headers, text.to_owned()).await;
    assert!(response.status().is_success(), "{}", response.status());
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}
