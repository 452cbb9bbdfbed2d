use std::process::{Child, Command, Stdio};

use crate::tools::{Directory, find};

/// A Redis that keeps nothing, on a socket in a directory of its own. Dropping it kills it.
pub(crate) struct RedisServer {
    process: Option<Child>,
    directory: Directory,
}

impl RedisServer {
    pub(crate) fn start() -> Option<Self> {
        find(&["redis-server"])?;
        let mut server = Self { process: None, directory: Directory::new("redis") };
        server.restart();
        Some(server)
    }

    /// Starts it again, without waiting until it answers.
    pub(crate) fn restart(&mut self) {
        let process = Command::new(find(&["redis-server"]).unwrap())
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.directory.path().join("socket"))
            .arg("--dir")
            .arg(self.directory.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.process = Some(process);
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("unix://{}", self.directory.path().join("socket").display())
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
    }
}
