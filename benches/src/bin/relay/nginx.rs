use std::os::unix::process::CommandExt;

use nix::sys::{prctl, signal::Signal};

use super::subject::installed;
use crate::*;

/// Becomes nginx, in one process without a master. Clients may have to try until it listens.
pub fn serve(upstream: SocketAddr) {
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
