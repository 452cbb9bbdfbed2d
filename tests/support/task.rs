use tokio::task::JoinError;

/// Returns the error of a task that the program has cancelled.
pub async fn cancelled_task() -> JoinError {
    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    task.await.unwrap_err()
}
