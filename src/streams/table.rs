use std::{collections::HashMap, sync::Arc};

/// Shrinks a table that is nearly empty, as after a storm of clients.
pub(super) fn shrink_if_sparse<V>(table: &mut HashMap<Arc<str>, V>) {
    if table.capacity() > 64 && table.capacity() / 8 > table.len() {
        table.shrink_to(2 * table.len());
    }
}
