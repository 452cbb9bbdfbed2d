use http::{Response, request::Parts};

use super::{
    AnswerBody, Run, RunKey, Runs,
    answer::{self, Requester},
};

/// Finding runs.
impl Runs {
    /// Attaches the client of a request to the run with this key, and returns the answer according
    /// to the [table](Self#answers). It never starts a run.
    ///
    /// Returns `None` if there is no such run. The handler then answers `404`, or `204` if the
    /// client only asks whether there is something to resume.
    ///
    /// ```
    /// use axum::response::{IntoResponse, Response};
    /// use http::{StatusCode, request::Parts};
    /// use tower_sse::runs::{RunKey, Runs};
    ///
    /// async fn resume(runs: Runs, key: RunKey, parts: Parts) -> Response {
    ///     match runs.answer(&key, &parts).await {
    ///         Some(answer) => answer.into_response(),
    ///         None => StatusCode::NO_CONTENT.into_response(),
    ///     }
    /// }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// Dropping the future detaches the client.
    pub async fn answer(&self, key: &RunKey, parts: &Parts) -> Option<Response<AnswerBody>> {
        let requester = Requester::of_parts(parts);
        match self.find(key, requester.last.as_ref()).await {
            Ok(record) => answer::answer(&record?, &requester).await,
            Err(error) => Some(error.answer_to(requester.client)),
        }
    }

    /// Returns the run with this key, if it is starting, running, or has ended and is kept.
    ///
    /// While the [store](super#several-processes) cannot be reached, returns `None` for any run that
    /// is not running in this process. [`answer`](Self::answer) then returns a refusal instead.
    pub async fn get(&self, key: &RunKey) -> Option<Run> {
        let record = self.find(key, None).await.ok().flatten()?;
        // If another process owns the run, its outcome is known once the last page is loaded.
        if !self.is_loaded(&record).await {
            return None;
        }
        Some(Run::new(self.clone(), record, false))
    }
}
