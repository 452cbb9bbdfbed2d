use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tower_sse::BoxError;

#[derive(Clone, Deserialize)]
pub(crate) struct User {
    pub(crate) id: String,
}

#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Notification {
    pub(crate) id: u64,
    /// `all`, or `user:` and the id of a user.
    pub(crate) topic: String,
    pub(crate) text: String,
}

impl Notification {
    pub(crate) fn is_for(&self, user: &User) -> bool {
        self.topic == "all" || self.topic.strip_prefix("user:") == Some(&user.id)
    }
}

pub(crate) type Answer<T> = Result<T, BoxError>;

/// What a program has in its database, which all of its processes share. A change is committed when
/// its method returns.
pub(crate) trait Database: Clone + Send + Sync + 'static {
    fn add_session(&self, session: &str, user: User) -> impl Future<Output = Answer<()>> + Send;
    fn delete_session(&self, session: &str) -> impl Future<Output = Answer<()>> + Send;
    /// Must know of each logout, so don't read from a cache or from a replica that lags behind.
    fn user_of(&self, session: &str) -> impl Future<Output = Answer<Option<User>>> + Send;
    fn add(&self, topic: &str, text: String) -> impl Future<Output = Answer<Notification>> + Send;
    fn mark_read(&self, user: &User, id: u64) -> impl Future<Output = Answer<()>> + Send;
    fn unread(&self, user: &User) -> impl Future<Output = Answer<Vec<Notification>>> + Send;
}

/// A stand-in for a database.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Tables>>);

#[derive(Default)]
struct Tables {
    sessions: HashMap<String, User>,
    notifications: Vec<Notification>,
    /// A user's id, with the id of a notification that the user has read.
    read: HashSet<(String, u64)>,
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Database for Memory {
    async fn add_session(&self, session: &str, user: User) -> Answer<()> {
        self.lock().sessions.insert(session.to_owned(), user);
        Ok(())
    }

    async fn delete_session(&self, session: &str) -> Answer<()> {
        self.lock().sessions.remove(session);
        Ok(())
    }

    async fn user_of(&self, session: &str) -> Answer<Option<User>> {
        Ok(self.lock().sessions.get(session).cloned())
    }

    async fn add(&self, topic: &str, text: String) -> Answer<Notification> {
        let notifications = &mut self.lock().notifications;
        let id = notifications.len() as u64 + 1;
        let added = Notification { id, topic: topic.to_owned(), text };
        notifications.push(added.clone());
        Ok(added)
    }

    async fn mark_read(&self, user: &User, id: u64) -> Answer<()> {
        self.lock().read.insert((user.id.clone(), id));
        Ok(())
    }

    async fn unread(&self, user: &User) -> Answer<Vec<Notification>> {
        let tables = self.lock();
        let is_read = |id| tables.read.contains(&(user.id.clone(), id));
        let unread = tables.notifications.iter().filter(|row| row.is_for(user) && !is_read(row.id));
        Ok(unread.cloned().collect())
    }
}
