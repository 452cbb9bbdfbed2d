use std::collections::BTreeMap;

use super::{
    resp::{Command, Reply},
    server::{Server, integer},
    value::Value,
};

/// Commands on hashes, with which runs keep their claims.
impl Server {
    /// `HSET key field value …`
    pub(super) fn set_fields(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        let fields = &command[2..];
        if fields.is_empty() || fields.len() % 2 == 1 {
            return Err(Reply::error("wrong number of arguments for 'hset' command"));
        }
        let value = self.value_or(now, &command[1], || Value::Hash(BTreeMap::new()));
        let hash = value.hash()?;
        let added = fields
            .chunks_exact(2)
            .filter(|pair| hash.insert(pair[0].clone(), pair[1].clone()).is_none());
        Ok(integer(added.count()))
    }

    /// `HGET key field`
    pub(super) fn field(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        Ok(self.fields(now, &command[1], &command[2..])?.remove(0))
    }

    /// `HMGET key field …`
    pub(super) fn many_fields(&mut self, now: u64, command: &Command) -> Result<Reply, Reply> {
        self.fields(now, &command[1], &command[2..]).map(Reply::Array)
    }

    fn fields(&mut self, now: u64, key: &[u8], names: &[Vec<u8>]) -> Result<Vec<Reply>, Reply> {
        let Some(value) = self.value(now, key) else { return Ok(vec![Reply::Nil; names.len()]) };
        let hash = value.hash()?;
        let field = |name| hash.get(name).map_or(Reply::Nil, |value| Reply::Bulk(value.clone()));
        Ok(names.iter().map(field).collect())
    }
}
