use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

const LIFETIME: Duration = Duration::from_secs(30);

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) id: String,
}

/// The user of each ticket, and when the ticket expires. Several processes share them in a
/// database.
#[derive(Clone, Default)]
pub(crate) struct Tickets(Arc<Mutex<HashMap<String, (User, Instant)>>>);

impl Tickets {
    pub(crate) fn issue(&self, user: User) -> String {
        // From a cryptographic generator, so that nobody can compute another user's ticket.
        let ticket = format!("{:032x}", rand::random::<u128>());
        let now = Instant::now();
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tickets.retain(|_, (_, expiry)| now < *expiry);
        tickets.insert(ticket.clone(), (user, now + LIFETIME));
        ticket
    }

    /// Deletes a ticket and returns its user, unless it has expired.
    pub(crate) fn redeem(&self, ticket: &str) -> Option<User> {
        let mut tickets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (user, expiry) = tickets.remove(ticket)?;
        (Instant::now() < expiry).then_some(user)
    }
}
