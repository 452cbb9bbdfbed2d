use std::{
    env,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, Stdio},
    thread,
};

use axum::serve::ListenerExt;
use socket2::SockRef;
use tokio::{net::TcpListener, runtime::Builder};

use crate::{control::Control, plan::Plan, service::Service};

/// The variables with the Redis and the plan of the process below.
const REDIS: &str = "TOWER_SSE_SOAK_REDIS";
const PLAN: &str = "TOWER_SSE_SOAK_PLAN";

/// The server in a process of its own. Dropping it kills it.
pub(crate) struct ServerProcess {
    child: Child,
    address: SocketAddr,
    pub(crate) control: Control,
    /// Open, as the process ends if it cannot write.
    _output: BufReader<ChildStdout>,
}

impl ServerProcess {
    pub(crate) async fn start(redis: &str, plan: &Plan) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["process::serve", "--exact", "--ignored", "--nocapture"])
            .env(REDIS, redis)
            .env(PLAN, serde_json::to_string(plan).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut lines = output.by_ref().lines();
        let address =
            lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        let address = address.expect("a process that listens");
        Self { child, address, control: Control::connect(address).await, _output: output }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

#[test]
#[ignore = "is the server of the soak"]
fn serve() {
    let (Ok(redis), Ok(plan)) = (env::var(REDIS), env::var(PLAN)) else { return };
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::connect(&redis, serde_json::from_str(&plan).unwrap()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Accepted sockets inherit it. A client that does not read fills it within the soak.
        SockRef::from(&listener).set_send_buffer_size(64 << 10).unwrap();
        println!("\nlistening on {}", listener.local_addr().unwrap());
        // The soak that has started it keeps the other end open.
        thread::spawn(|| {
            _ = std::io::stdin().read(&mut [0]);
            std::process::exit(0);
        });
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, service.app()).await.unwrap();
    });
}
