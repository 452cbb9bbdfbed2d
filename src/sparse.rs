//! Frees the capacity of maps that are nearly empty, for example after a storm of clients.

use std::{collections::HashMap, hash::BuildHasher, hash::Hash};

/// Returns the capacity that a table should shrink to, or `None` if enough of it is in use. Called
/// after each removal, this costs constant time on average.
pub(crate) fn spare_capacity(len: usize, capacity: usize) -> Option<usize> {
    (capacity > 64 && capacity / 8 > len).then_some(2 * len)
}

/// Shrinks a map that is nearly empty.
pub fn shrink_if_sparse<K: Eq + Hash, V, S: BuildHasher>(map: &mut HashMap<K, V, S>) {
    if let Some(capacity) = spare_capacity(map.len(), map.capacity()) {
        map.shrink_to(capacity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_table_shrinks_once_an_eighth_is_used() {
        let shrunk = |grown, left: fn(usize) -> usize| {
            let mut table: HashMap<usize, ()> = HashMap::with_capacity(grown);
            let capacity = table.capacity();
            table.extend((0..left(capacity)).map(|n| (n, ())));
            shrink_if_sparse(&mut table);
            (table.capacity() < capacity, table.capacity() >= 2 * table.len())
        };
        assert_eq!(shrunk(100, |capacity| capacity / 8), (false, true));
        assert_eq!(shrunk(100, |capacity| capacity / 8 - 4), (true, true));
        assert_eq!(shrunk(50, |_| 0), (false, true), "a small one does not grow and shrink");
    }
}
