/// The topics of a [subscription](crate::hub::Hub::subscribe): an array, a `Vec` or any other
/// collection of names.
///
/// All collections of strings implement it, and nothing else can. The hub requires it instead of
/// `IntoIterator`, so that the compiler's error for a single name says how to subscribe to it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a list of topics",
    label = "not an array or another collection of names",
    note = "subscribe to a single topic by `hub.subscribe_to(topic)`, or pass `[topic]`"
)]
pub trait TopicNames: IntoIterator<Item: AsRef<str>> {}

// Otherwise the compiler would report that `IntoIterator` is not implemented.
#[diagnostic::do_not_recommend]
impl<T: IntoIterator<Item: AsRef<str>>> TopicNames for T {}
