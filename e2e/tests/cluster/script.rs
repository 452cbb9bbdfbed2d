use std::{
    env,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

use crate::*;

/// An example on two processes, started by its script. Dropping it stops everything that the script
/// has started.
pub(crate) struct Script {
    process: Child,
    /// What the script and the processes have printed.
    lines: Arc<Mutex<Vec<String>>>,
}

impl Script {
    /// Starts the script, and waits until nginx listens. Returns `None` where a program that it
    /// needs is missing.
    pub(crate) async fn start(example: &str) -> Option<Self> {
        for program in ["redis-server", "redis-cli", "nginx", "bash"] {
            find(&[program])?;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/cluster/run.sh");
        let mut process = Command::new(script)
            .arg(example)
            .arg(path_of(example))
            .env("PORT", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(process.stdout.take().unwrap()).lines();
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let printed = Arc::clone(&lines);
        thread::spawn(move || {
            for line in output {
                printed.lock().unwrap().push(line.unwrap());
            }
        });
        let script = Self { process, lines };
        until(|| !script.printed("listening on http://").is_empty()).await;
        Some(script)
    }

    /// Returns the rest of each line that starts with `start`.
    fn printed(&self, start: &str) -> Vec<String> {
        let lines = self.lines.lock().unwrap();
        lines.iter().filter_map(|line| Some(line.strip_prefix(start)?.to_owned())).collect()
    }

    /// Returns the address of nginx.
    pub(crate) fn address(&self) -> SocketAddr {
        self.printed("listening on http://")[0].parse().unwrap()
    }

    /// Returns the address of one process.
    pub(crate) fn address_of(&self, name: &str) -> SocketAddr {
        self.printed(&format!("{name}: listening on http://"))[0].parse().unwrap()
    }

    /// Returns how many times a process was started and listened.
    pub(crate) fn starts_of(&self, name: &str) -> usize {
        self.printed(&format!("{name}: listening on http://")).len()
    }

    /// Returns how many times a process has printed a line.
    pub(crate) fn count(&self, name: &str, line: &str) -> usize {
        self.printed(&format!("{name}: {line}")).len()
    }

    /// Kills a process as a crash does.
    pub(crate) fn kill(&self, name: &str) {
        let ids = self.printed(&format!("{name}: has the process id "));
        signal("-KILL", ids.last().unwrap());
    }

    /// Keeps the script from starting processes again.
    pub(crate) fn pause(&self) {
        signal("-STOP", &self.process.id().to_string());
    }

    pub(crate) fn resume(&self) {
        signal("-CONT", &self.process.id().to_string());
    }

    /// Stops the script as ctrl-c in its terminal does, and waits until it has ended.
    pub(crate) fn stop(&mut self) {
        signal("-TERM", &self.process.id().to_string());
        self.process.wait().unwrap();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.process.try_wait().unwrap().is_none() {
            // A test that failed may have paused it.
            self.resume();
            self.stop();
        }
    }
}

fn signal(signal: &str, id: &str) {
    assert!(Command::new("kill").args([signal, id]).status().unwrap().success());
}

/// Returns the path of the example. `cargo test` builds the examples with the tests of their own
/// package, but not if only this package or only this test is selected.
fn path_of(example: &str) -> PathBuf {
    let test = env::current_exe().unwrap();
    let example = test.ancestors().nth(2).unwrap().join("examples").join(example);
    assert!(example.exists(), "first run: cargo build --examples --all-features");
    example
}
