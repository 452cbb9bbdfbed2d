use std::net::SocketAddr;
use std::path::Path;
use std::{fs::write, process::Stdio};

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::support::{Directory, listen, soon};

/// An nginx in front of a server, with its default proxy settings. It is killed when dropped.
pub(crate) struct Nginx {
    pub(crate) address: SocketAddr,
    _process: Child,
    _log: Lines<BufReader<ChildStderr>>,
    _directory: Directory,
}

impl Nginx {
    pub(crate) async fn start(program: &Path, upstream: SocketAddr) -> Self {
        Self::start_with(program, &format!("server {upstream};"), "").await
    }

    /// Starts it in front of several servers, and with additional settings.
    pub(crate) async fn start_with(program: &Path, upstream: &str, settings: &str) -> Self {
        Self::start_serving(program, |address| serve(address, upstream, settings)).await
    }

    /// Starts it with the upstreams and servers that `serve` returns for its address.
    pub(crate) async fn start_serving(
        program: &Path,
        serve: impl Fn(SocketAddr) -> String,
    ) -> Self {
        for _ in 0..5 {
            if let Some(nginx) = Self::try_start(program, &serve).await {
                return nginx;
            }
        }
        panic!("nginx does not start");
    }

    /// Returns `None` if another process has taken the port meanwhile: nginx cannot choose a port.
    async fn try_start(program: &Path, serve: impl Fn(SocketAddr) -> String) -> Option<Self> {
        let (listener, address) = listen().await;
        drop(listener);
        let directory = Directory::new("nginx");
        let configuration = directory.path().join("nginx.conf");
        write(&configuration, configure(&serve(address))).unwrap();
        let mut process = Command::new(program)
            .args(["-e", "stderr", "-p"])
            .arg(directory.path())
            .arg("-c")
            .arg(&configuration)
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut log = BufReader::new(process.stderr.take().unwrap()).lines();
        let up = soon(is_up(&mut log)).await;
        up.then_some(Self { address, _process: process, _log: log, _directory: directory })
    }
}

/// Returns an upstream, and a server with only the given settings.
fn serve(address: SocketAddr, upstream: &str, settings: &str) -> String {
    format!(
        "upstream service {{
            {upstream}
        }}
        server {{
            listen {address};
            location / {{
                proxy_pass http://service;
                {settings}
            }}
        }}"
    )
}

/// Returns a configuration with these upstreams and servers. There is one process, so that killing
/// it is enough, and its files stay in its directory.
pub(crate) fn configure(servers: &str) -> String {
    format!(
        "daemon off;
        master_process off;
        error_log stderr notice;
        pid nginx.pid;
        events {{}}
        http {{
            access_log off;
            client_body_temp_path body;
            proxy_temp_path proxy;
            fastcgi_temp_path fastcgi;
            uwsgi_temp_path uwsgi;
            scgi_temp_path scgi;
            {servers}
        }}"
    )
}

/// Returns whether it listens. If not, it has logged the reason and exited.
async fn is_up(log: &mut Lines<BufReader<ChildStderr>>) -> bool {
    let mut output = String::new();
    while let Some(line) = log.next_line().await.unwrap() {
        // Its sockets are open before it starts to wait for events.
        if line.contains("event method") {
            return true;
        }
        output += &line;
    }
    assert!(output.contains("Address already in use"), "{output}");
    false
}
