use std::{
    mem,
    ops::{Deref, DerefMut},
    slice,
};

use super::{cursor::TopicCursor, merge_queue::MergeQueue};

/// The cursors of a subscription, one for each topic.
// Most subscriptions have one topic. Its cursor is stored in place, so that an event needs no cache
// line of the heap for it.
pub(crate) enum Cursors {
    One(TopicCursor),
    Many(Vec<TopicCursor>, Option<Box<MergeQueue>>),
}

impl Default for Cursors {
    fn default() -> Self {
        Self::Many(Vec::new(), None)
    }
}

impl Cursors {
    pub(crate) fn push(&mut self, cursor: TopicCursor) {
        *self = match mem::take(self) {
            Self::One(first) => Self::Many(vec![first, cursor], None),
            Self::Many(cursors, _) if cursors.is_empty() => Self::One(cursor),
            Self::Many(mut cursors, queue) => {
                cursors.push(cursor);
                Self::Many(cursors, queue)
            }
        };
    }

    pub(crate) fn shrink_to_fit(&mut self) {
        if let Self::Many(cursors, _) = self {
            cursors.shrink_to_fit();
        }
    }
}

impl Deref for Cursors {
    type Target = [TopicCursor];

    #[inline]
    fn deref(&self) -> &[TopicCursor] {
        match self {
            Self::One(cursor) => slice::from_ref(cursor),
            Self::Many(cursors, _) => cursors,
        }
    }
}

impl DerefMut for Cursors {
    #[inline]
    fn deref_mut(&mut self) -> &mut [TopicCursor] {
        match self {
            Self::One(cursor) => slice::from_mut(cursor),
            Self::Many(cursors, _) => cursors,
        }
    }
}
