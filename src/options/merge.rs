use http::{Extensions, Response};

use super::{StreamOptions, closures::both};

/// Merging the options of a layer, a request and a response.
impl StreamOptions {
    /// Adds these options to those that a response already has. Each option that is set replaces the
    /// response's, with the [exceptions](Self#precedence) of `max_age` and `on_close`.
    ///
    /// Middleware and handlers can therefore both set options. `Extensions::insert` would replace
    /// all earlier ones.
    ///
    /// ```
    /// use http::Response;
    /// use tower_sse::StreamOptions;
    ///
    /// # let mut response = Response::new(());
    /// StreamOptions::new().terminator("[DONE]").merge_into(&mut response);
    /// StreamOptions::new().without_heartbeat().merge_into(&mut response); // Keeps the terminator.
    /// ```
    pub fn merge_into<B>(self, response: &mut Response<B>) {
        self.merge_into_extensions(response.extensions_mut());
    }

    /// Adds these options to those in the extensions of a request or a response, as
    /// [`merge_into`](Self::merge_into) does.
    ///
    /// Middleware that runs before the handler, such as authentication, adds options to a request:
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use http::Request;
    /// use tower_sse::{MaxAge, StreamOptions};
    ///
    /// fn authenticated<B>(request: &mut Request<B>, expires_in: Duration) {
    ///     let max_age = MaxAge::new(expires_in).grace(Duration::ZERO);
    ///     StreamOptions::new().max_age(max_age).merge_into_extensions(request.extensions_mut());
    /// }
    /// # authenticated(&mut Request::new(()), Duration::ZERO);
    /// ```
    pub fn merge_into_extensions(self, extensions: &mut Extensions) {
        let merged = match extensions.get() {
            Some(earlier) => self.over(earlier),
            None => self,
        };
        extensions.insert(merged);
    }

    /// Returns these options over those of another place. Of two maximum ages, both count.
    pub(super) fn over(self, below: &Self) -> Self {
        let both = match (&self.max_age, &below.max_age) {
            (Some(one), Some(other)) => Some(one.clone().and(other.clone())),
            _ => None,
        };
        let mut options = self.or(below);
        options.max_age = both.or(options.max_age);
        options
    }

    /// Returns the options that apply to every client of one source: all but the maximum age,
    /// `end_when` and `on_close`, which concern only the client for which they were set.
    pub(crate) fn for_other_clients(&self) -> Self {
        Self { max_age: None, end_when: None, on_close: None, ..self.clone() }
    }

    /// Returns these options, with `defaults` for those that are not set.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or_else(|| defaults.heartbeat.clone()),
            retry: self.retry.or(defaults.retry),
            padding: self.padding.or_else(|| defaults.padding.clone()),
            max_age: self.max_age.or_else(|| defaults.max_age.clone()),
            end_when: self.end_when.or_else(|| defaults.end_when.clone()),
            drain: self.drain.or_else(|| defaults.drain.clone()),
            farewell: self.farewell.or_else(|| defaults.farewell.clone()),
            terminator: self.terminator.or_else(|| defaults.terminator.clone()),
            on_error: self.on_error.or_else(|| defaults.on_error.clone()),
            on_close: both(defaults.on_close.clone(), self.on_close),
        }
    }
}
