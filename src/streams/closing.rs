/// A close of the streams of a subject that do not also have the subject `kept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing<T> {
    pub(crate) subject: T,
    pub(crate) kept: Option<T>,
}

impl<T> Closing<T> {
    pub(crate) fn map<'c, U>(&'c self, subject: impl Fn(&'c T) -> U) -> Closing<U> {
        Closing { subject: subject(&self.subject), kept: self.kept.as_ref().map(subject) }
    }
}
