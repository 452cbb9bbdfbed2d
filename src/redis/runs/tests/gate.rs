use std::{path::PathBuf, sync::Arc};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{UnixListener, UnixStream},
    sync::watch,
    task::JoinSet,
    time::timeout,
};

use super::{process::PATIENCE, server::Server};
use crate::redis::Redis;

/// A proxy that can hold back what the process or the server sends.
pub(super) struct Gate {
    path: PathBuf,
    state: Arc<watch::Sender<State>>,
    _connections: JoinSet<()>,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Open,
    /// Holds back what contains these bytes, and all that follows in its direction.
    Armed(&'static str),
    Held(&'static str),
}

impl Gate {
    pub(super) fn start(server: &Server) -> Self {
        let (path, upstream) = (server.socket("gate"), server.socket("socket"));
        let listener = UnixListener::bind(&path).unwrap();
        let state = Arc::new(watch::Sender::new(State::Open));
        let shared = Arc::clone(&state);
        let mut connections = JoinSet::new();
        connections.spawn(async move {
            let mut clients = JoinSet::new();
            loop {
                let (client, _) = listener.accept().await.unwrap();
                let (from_server, to_server) =
                    UnixStream::connect(&upstream).await.unwrap().into_split();
                let (from_client, to_client) = client.into_split();
                clients.spawn(pass(from_client, to_server, Arc::clone(&shared)));
                clients.spawn(pass(from_server, to_client, Arc::clone(&shared)));
            }
        });
        Self { path, state, _connections: connections }
    }

    pub(super) fn redis(&self) -> Redis {
        Redis::open(&format!("unix://{}", self.path.display())).unwrap()
    }

    /// Holds back what contains `text` from now on.
    pub(super) fn hold(&self, text: &'static str) {
        self.state.send_replace(State::Armed(text));
    }

    /// Waits until something is held back.
    pub(super) async fn held(&self) {
        let mut state = self.state.subscribe();
        let held = state.wait_for(|state| matches!(state, State::Held(_)));
        _ = timeout(PATIENCE, held).await.expect("something to hold back").unwrap();
    }

    pub(super) fn release(&self) {
        self.state.send_replace(State::Open);
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: Arc<watch::Sender<State>>,
) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..len];
        let mut is_held = false;
        state.send_if_modified(|state| {
            if let State::Armed(text) | State::Held(text) = *state
                && memchr::memmem::find(bytes, text.as_bytes()).is_some()
            {
                is_held = true;
                *state = State::Held(text);
            }
            is_held
        });
        if is_held {
            let mut state = state.subscribe();
            _ = state.wait_for(|state| matches!(state, State::Open)).await;
        }
        if to.write_all(bytes).await.is_err() {
            break;
        }
    }
}
