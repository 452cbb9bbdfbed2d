use std::io::{self, Read};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread, time::Duration};

use axum::{Router, response::IntoResponse, routing::get};

/// Returns where `peers.sh` unpacks the packages of Debian: `peers/root` in the target directory,
/// next to the `release` directory of this program.
pub(crate) fn unpacked() -> PathBuf {
    let this = env::current_exe().expect("this program");
    this.ancestors().nth(2).expect("a directory").join("peers/root")
}

fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Waits for up to ten seconds until the child listens, prints the child's address if it does, and
/// ends the child with this process.
fn run(mut child: Child, port: u16) {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for _ in 0..100 {
        if TcpStream::connect(address).is_ok() {
            println!("listening on {address}");
            break;
        }
        thread::sleep(Duration::from_millis(100));
    }
    let id = nix::unistd::Pid::from_raw(child.id().try_into().expect("an id"));
    thread::spawn(move || {
        _ = io::stdin().read_to_end(&mut Vec::new());
        // At SIGTERM, the server ends the processes that it has started.
        _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGTERM);
        thread::sleep(Duration::from_secs(2));
        _ = nix::sys::signal::kill(id, nix::sys::signal::Signal::SIGKILL);
    });
    _ = child.wait();
}

pub(crate) fn nchan(directory: &Path) {
    let port = free_port();
    let (module, at) = (unpacked().join("usr/lib/nginx/modules/ngx_nchan_module.so"), directory);
    let (module, at) = (module.display(), at.display());
    let configuration = format!(
        "load_module {module};
        daemon off; worker_processes 1; error_log stderr crit; pid {at}/pid;
        worker_rlimit_nofile 20000;
        events {{ worker_connections 20000; }}
        http {{
            access_log off;
            client_body_temp_path {at}/1; proxy_temp_path {at}/2; fastcgi_temp_path {at}/3;
            uwsgi_temp_path {at}/4; scgi_temp_path {at}/5;
            nchan_max_reserved_memory 256M;
            server {{
                listen 127.0.0.1:{port};
                keepalive_requests 10000000;
                location = / {{
                    nchan_pubsub eventsource; nchan_publisher http; nchan_channel_id news;
                    nchan_subscriber_first_message newest;
                    nchan_message_buffer_length 4096; nchan_message_timeout 10m;
                }}
            }}
        }}"
    );
    let path = directory.join("nginx.conf");
    fs::write(&path, configuration).expect("a file");
    let nginx = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
    let mut command = Command::new(nginx);
    command.arg("-c").arg(&path).arg("-p").arg(directory).stdin(Stdio::null());
    run(command.spawn().expect("nginx"), port);
}

/// Returns the port at which pushpin takes events, which follows from the port of its streams.
/// `peers serve` chooses both ports and prints only that of the streams.
pub(crate) fn publisher_of(streams: u16) -> u16 {
    streams ^ 1
}

pub(crate) fn pushpin(directory: &Path) {
    let root = unpacked();
    let at = directory.display();
    let port = loop {
        let port = free_port();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, publisher_of(port))).is_ok() {
            break port;
        }
    };
    let origin = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let origin_port = origin.local_addr().expect("an address").port();
    origin.set_nonblocking(true).expect("an option");
    // The backend that pushpin asks about each subscription.
    thread::spawn(move || {
        let hold = async || {
            let headers = [
                ("content-type", "text/event-stream"),
                ("grip-hold", "stream"),
                ("grip-channel", "news"),
            ];
            (headers, "\n").into_response()
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let origin = tokio::net::TcpListener::from_std(origin).expect("a listener");
            axum::serve(origin, Router::new().route("/", get(hold))).await.expect("a server");
        });
    });
    let (lib, bin) = (root.join("usr/lib/pushpin"), root.join("usr/bin"));
    let (library, bin) = (lib.display(), bin.display());
    fs::write(directory.join("routes"), format!("* 127.0.0.1:{origin_port}\n")).expect("a file");
    let configuration = format!(
        "[global]\ninclude={library}/internal.conf\nlibdir={library}\nrundir={at}\nlogdir={at}\nipc_prefix=peers-\nport_offset=0\n\
         stats_connection_ttl=120\n\
         [runner]\nservices=condure,zurl,pushpin-proxy,pushpin-handler\nhttp_port=127.0.0.1:{port}\n\
         logdir={at}\nlog_level=0\nclient_maxconn=20000\nclient_buffer_size=8192\n\
         condure_bin={bin}/condure\nzurl_bin={bin}/zurl\n\
         pushpin_proxy_bin={bin}/pushpin-proxy\npushpin_handler_bin={bin}/pushpin-handler\n\
         [proxy]\n\
         zurl_out_specs=ipc://{at}/peers-zurl-in\nzurl_out_stream_specs=ipc://{at}/peers-zurl-in-stream\n\
         zurl_in_specs=ipc://{at}/peers-zurl-out\nroutesfile={at}/routes\ndebug=false\nauto_cross_origin=false\n\
         accept_x_forwarded_protocol=false\nset_x_forwarded_protocol=false\n\
         x_forwarded_for=\nx_forwarded_for_trusted=\norig_headers_need_mark=\naccept_pushpin_route=false\n\
         cdn_loop=\nlog_from=false\nlog_user_agent=false\nsig_iss=pushpin\nsig_key=changeme\nupstream_key=\n\
         sockjs_url=\nupdates_check=off\n\
         [handler]\nipc_file_mode=777\npush_in_spec=ipc://{at}/push\npush_in_sub_specs=ipc://{at}/sub\n\
         push_in_sub_connect=false\npush_in_http_addr=127.0.0.1\npush_in_http_port={}\n\
         push_in_http_max_headers_size=10000\npush_in_http_max_body_size=1000000\n\
         stats_spec=ipc://{at}/stats\ncommand_spec=ipc://{at}/command\nmessage_rate=200000\n\
         message_hwm=200000\nmessage_block_size=\nmessage_wait=5000\nid_cache_ttl=60\n\
         connection_subscription_max=20\nsubscription_linger=60\nstats_connection_ttl=120\n\
         stats_subscription_ttl=60\nstats_report_interval=10\nstats_format=tnetstring\nprometheus_port=\n",
        publisher_of(port)
    );
    let path = directory.join("pushpin.conf");
    fs::write(&path, configuration).expect("a file");
    let mut command = Command::new(root.join("usr/bin/pushpin"));
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    command.arg(format!("--config={}", path.display())).env("LD_LIBRARY_PATH", libraries);
    let paths = format!("{bin}:{}", env::var("PATH").unwrap_or_default());
    command.env("PATH", paths).stdin(Stdio::null()).stdout(Stdio::null());
    run(command.spawn().expect("pushpin"), port);
}
