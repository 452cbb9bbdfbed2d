/// The action of a subscription whose client may have missed events because they were evicted, or
/// because a [broker](crate::hub::Hub::connect) lost them.
///
/// A gap is reported as an event with the name `gap`, whose data is the name of the topic. Its id
/// is the position after which the topic continues, unless other gaps of that position or a
/// greeting follow. If events of the topic were evicted, this is the id of the newest of them. A
/// client that resumes after this position does not receive the gap again, with one exception in
/// [`resume`](super::Subscribe::resume).
///
/// A broker does not know which events it has lost, so each topic of the subscription gets a gap.
/// Kept events from before the loss are sent first.
///
/// After a loss or a malformed id, several topics have a gap at the same position. Their gaps are
/// sent one after another, up to 256 in one item, and then the
/// [greeting](super::Subscribe::greeting), if one is due. Only the last of these events has the id
/// of that position. A client that disconnects before it receives all of them again.
///
/// - Do not publish events with the name `gap`, because a client cannot distinguish them from gaps.
/// - A gap reveals the name of its topic to the client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum GapPolicy {
    /// Reports the gap and continues. The client can then load the current state.
    #[default]
    Report,
    /// Reports the gap, together with those of other topics at the same position, and ends the
    /// stream.
    ///
    /// If a topic evicts events faster than its clients reconnect, they receive mostly gaps.
    ReportAndEnd,
    /// Continues without a report. In topics with [`Retention::latest`](crate::hub::Retention::latest),
    /// replaced events are no gap anyway.
    Ignore,
}
