//! Keys of Redis that never expire.

use redis::{Client, cmd};

use super::server::Server;
use crate::support::PATIENCE;

const SCRIPT: &str = "local eternal = {}
    for _, key in ipairs(redis.call('KEYS', '*')) do
        local is_string = redis.call('TYPE', key).ok == 'string'
        if redis.call('PTTL', key) == -1 and not is_string then table.insert(eternal, key) end
    end
    return eternal";

pub(crate) fn assert_no_eternal_keys(server: &Server) {
    let eternal = eternal_keys(server);
    assert!(eternal.is_empty(), "without a time to live: {eternal:?}");
}

/// Returns the keys that never expire, except strings, which only tests write. Returns none if the
/// server is not running.
pub(crate) fn eternal_keys(server: &Server) -> Vec<String> {
    let client = Client::open(server.url()).unwrap();
    let mut connection = match client.get_connection_with_timeout(PATIENCE) {
        Err(error) if error.is_connection_refusal() => return Vec::new(),
        connection => connection.unwrap(),
    };
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    cmd("EVAL").arg(SCRIPT).arg(0).query(&mut connection).unwrap()
}
