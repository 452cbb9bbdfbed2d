use http::{Method, Request};

/// The kinds of client that the layer distinguishes, by what they send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Requester {
    EventSource,
    /// Page code that reads by `fetch`.
    Fetch,
    /// curl, a script.
    Get,
    /// A call of an API.
    Post,
}

impl Requester {
    pub const ALL: [Self; 4] = [Self::EventSource, Self::Fetch, Self::Get, Self::Post];

    /// Returns whether the client would take a clean end for the end of the answer.
    pub fn is_cut_by_failing(self) -> bool {
        matches!(self, Self::Fetch | Self::Post)
    }

    /// Returns a request for an event stream.
    pub fn request<B: Default>(self, path: &str) -> Request<B> {
        let method = if self == Self::Post { Method::POST } else { Method::GET };
        let request = Request::builder().method(method).uri(path).header("host", "localhost");
        let request = request.header("accept", "text/event-stream");
        let request = match self {
            // A method other than `GET` decides, whatever the headers are.
            Self::EventSource | Self::Post => request.header("cache-control", "no-cache"),
            Self::Fetch => request.header("sec-fetch-mode", "cors"),
            Self::Get => request,
        };
        request.body(B::default()).unwrap()
    }
}
