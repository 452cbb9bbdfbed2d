use super::{network::Network, server::Server, value::Value};

/// What runs leave in Redis.
impl Network {
    /// Returns the streams of the current server whose run does not have its key any more, because
    /// another run has it.
    pub fn streams_of_replaced_runs(&self) -> Vec<String> {
        let state = self.lock();
        let now = self.now(&state, state.current);
        let server = &state.machines[state.current].server;
        let streams = server.kept(now).filter(|(_, value)| matches!(value, Value::Stream(_)));
        let replaced = streams.filter(|(name, _)| server.is_replaced(now, name));
        replaced.map(|(name, _)| String::from_utf8_lossy(name).into_owned()).collect()
    }
}

impl Server {
    /// Returns whether the claim that belongs to a run's stream has another epoch.
    fn is_replaced(&self, now: u64, stream: &[u8]) -> bool {
        let Some(end) = stream.iter().rposition(|byte| *byte == b'}') else { return false };
        let (claim, epoch) = (&stream[..=end], &stream[end + 2..]);
        self.kept(now).any(|(name, value)| match value {
            Value::Hash(fields) if *name == claim => {
                fields.get(&b"e"[..]).is_some_and(|e| e != epoch)
            }
            _ => false,
        })
    }
}
