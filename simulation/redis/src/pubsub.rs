//! Commands that concern connections, and the messages that subscribers receive.

use super::*;

/// Executes a command that concerns connections. Returns `None` for other commands.
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
        (kind @ (b"SUBSCRIBE" | b"SSUBSCRIBE" | b"UNSUBSCRIBE" | b"SUNSUBSCRIBE"), _) => {
            let is_sharded = kind.starts_with(b"SS") || kind.starts_with(b"SUN");
            let channels = &mut state.connections[connection].channels;
            let replies = command[1..].iter().map(|channel| {
                let name = (is_sharded, channel.clone());
                if kind.ends_with(b"UNSUBSCRIBE") {
                    channels.remove(&name);
                } else {
                    channels.insert(name);
                }
                confirmation(kind, channel, channels.len())
            });
            Some(Reply::Many(replies.collect()))
        }
        _ => None,
    }
}

fn confirmation(kind: &[u8], channel: &[u8], left: usize) -> Reply {
    let kind = String::from_utf8_lossy(kind).to_lowercase();
    Reply::Push(vec![Reply::bulk(kind), Reply::Bulk(channel.to_vec()), integer(left)])
}

/// Ends the subscriptions to channels whose slot a node gives away.
pub(super) fn end_sharded(state: &mut State, machine: usize) {
    for number in 0..state.connections.len() {
        if state.connections[number].machine != machine {
            continue;
        }
        let due = Instant::now() + Duration::from_millis(state.next_latency());
        let connection = &mut state.connections[number];
        let (ended, kept): (BTreeSet<_>, _) =
            connection.channels.iter().cloned().partition(|(is_sharded, _)| *is_sharded);
        connection.channels = kept;
        // In any order, as in Redis.
        let mut ended: Vec<_> = ended.into_iter().collect();
        state.rng.shuffle(&mut ended);
        let connection = &mut state.connections[number];
        for (_, channel) in ended {
            let mut bytes = Vec::new();
            confirmation(b"SUNSUBSCRIBE", &channel, 0).encode(&mut bytes);
            _ = connection.sending.send(Sent { due, bytes, has_entries: true });
        }
    }
}

/// Sends what was published to the subscribers at the same machine. In a cluster, messages of
/// channels without a slot reach the subscribers at all nodes.
pub(super) fn deliver(state: &mut State, machine: usize) {
    let is_cluster = state.machines[machine].server.is_cluster;
    for (channel, text) in std::mem::take(&mut state.machines[machine].server.published) {
        let (is_sharded, name) = &channel;
        let kind = if *is_sharded { "smessage" } else { "message" };
        let parts = vec![Reply::bulk(kind), Reply::Bulk(name.clone()), Reply::Bulk(text)];
        let is_everywhere = is_cluster && !is_sharded;
        let mut bytes = Vec::new();
        Reply::Push(parts).encode(&mut bytes);
        for number in 0..state.connections.len() {
            let connection = &state.connections[number];
            if (connection.machine != machine && !is_everywhere)
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
