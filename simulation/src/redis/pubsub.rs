//! Commands that are about connections, and the messages that subscribers receive.

use super::*;

/// Executes a command of a connection. Returns `None` if it is about keys.
pub(super) fn execute(state: &mut State, connection: usize, command: &Command) -> Option<Reply> {
    match (&command[0][..], command.get(1).map(|part| &part[..])) {
        (b"HELLO", _) => Some(Reply::Array(vec![Reply::bulk("proto"), Reply::Integer(3)])),
        (b"CLIENT", Some(b"ID")) => Some(integer(connection)),
        (b"CLIENT", Some(b"KILL")) => {
            let machine = state.connections[connection].machine;
            let killed = state.connections.get(number::<usize>(&command[3]));
            let killed = killed.filter(|other| other.machine == machine);
            let is_open = killed.is_some_and(|other| !other.ended.is_cancelled());
            killed.inspect(|other| other.ended.cancel());
            Some(integer(usize::from(is_open)))
        }
        (kind @ (b"SUBSCRIBE" | b"UNSUBSCRIBE"), _) => {
            let name = String::from_utf8_lossy(kind).to_lowercase();
            let channels = &mut state.connections[connection].channels;
            let replies = command[1..].iter().map(|channel| {
                if kind == b"SUBSCRIBE" {
                    channels.insert(channel.clone());
                } else {
                    channels.remove(channel);
                }
                let channel = Reply::Bulk(channel.clone());
                Reply::Push(vec![Reply::bulk(&name), channel, integer(channels.len())])
            });
            Some(Reply::Many(replies.collect()))
        }
        _ => None,
    }
}

/// Sends what was published to the subscribers at the same machine, or at all nodes of its cluster.
pub(super) fn deliver(state: &mut State, machine: usize) {
    let is_cluster = state.machines[machine].server.is_cluster;
    for (channel, text) in std::mem::take(&mut state.machines[machine].server.published) {
        let message = |channel: &Vec<u8>, text: &Vec<u8>| {
            let parts = [channel, text].map(|part| Reply::Bulk(part.clone()));
            Reply::Push([Reply::bulk("message")].into_iter().chain(parts).collect())
        };
        let mut bytes = Vec::new();
        message(&channel, &text).encode(&mut bytes);
        for number in 0..state.connections.len() {
            let connection = &state.connections[number];
            if (connection.machine != machine && !is_cluster)
                || connection.ended.is_cancelled()
                || !connection.channels.contains(&channel)
            {
                continue;
            }
            let delay = state.links[connection.process].read_delay + state.next_latency();
            let due = Instant::now() + Duration::from_millis(delay);
            let sent = Sent { due, bytes: bytes.clone(), has_entries: true };
            _ = state.connections[number].sending.send(sent);
        }
    }
}
