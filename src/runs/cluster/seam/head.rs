use bytes::Bytes;

use super::stream_options;
use crate::options::StreamOptions;

/// Encodes the options of a handler that apply to every client's stream, as far as they can be
/// encoded.
pub(crate) fn encode(options: Option<&StreamOptions>) -> Bytes {
    options.map_or_else(|| Bytes::from_static(b"-"), stream_options::encode)
}

/// Decodes options. Returns `None` if there are none, or if they are not valid.
pub(crate) fn decode(head: &[u8]) -> Option<StreamOptions> {
    if head == b"-" { None } else { stream_options::decode(head) }
}
