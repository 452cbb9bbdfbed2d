use tokio::sync::Notify;

/// Waits until `get` returns a value. It is called at once, and again after each notification.
pub async fn until<T>(changed: &Notify, get: impl Fn() -> Option<T>) -> T {
    loop {
        // Created before the state is read, so that no change is missed.
        let notified = changed.notified();
        if let Some(value) = get() {
            return value;
        }
        notified.await;
    }
}
