use axum::serve::ListenerExt;
use socket2::SockRef;
use tokio::runtime::Builder;

use crate::*;

/// The server's process. Dropping this value kills the process.
pub(crate) struct ServerProcess {
    process: Process,
    pub(crate) control: Control,
}

impl ServerProcess {
    pub(crate) async fn start(redis: &str, plan: &Plan) -> Self {
        let task = serde_json::to_string(&(redis, plan)).unwrap();
        let process = Process::start("process::serve", task).await;
        Self { control: Control::connect(process.address).await, process }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.process.address
    }
}

#[test]
#[ignore = "is the server of the soak"]
fn serve() {
    let Some(task) = Process::task() else { return };
    let (redis, plan): (String, Plan) = serde_json::from_str(&task).unwrap();
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let service = Service::connect(&redis, plan).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        // Accepted sockets inherit this buffer's size. A client that does not read fills the buffer
        // during the soak.
        SockRef::from(&listener).set_send_buffer_size(64 << 10).unwrap();
        Process::announce(listener.local_addr().unwrap());
        let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
        axum::serve(listener, service.app()).await.unwrap();
    });
}
