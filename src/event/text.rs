use std::borrow::Cow;

/// A type that [`Event::data`](crate::Event::data) and [`Event::comment`](crate::Event::comment)
/// accept.
///
/// A literal is not copied, a `String` is moved, and a `&String` is copied. Call `to_owned()` on a
/// `&str` that is not `'static`. The trait is sealed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be the text of an event",
    label = "neither a literal nor a `String`",
    note = "a value becomes text by `value.to_string()`; with feature `json`, it becomes the data \
            of an event by `json_data(&value)`"
)]
pub trait IntoText: sealed::IntoText {}

pub(crate) mod sealed {
    use super::Cow;

    pub trait IntoText {
        fn into_text(self) -> Cow<'static, str>;
    }

    impl IntoText for &'static str {
        fn into_text(self) -> Cow<'static, str> {
            Cow::Borrowed(self)
        }
    }

    impl IntoText for String {
        fn into_text(self) -> Cow<'static, str> {
            Cow::Owned(self)
        }
    }

    impl IntoText for &String {
        fn into_text(self) -> Cow<'static, str> {
            Cow::Owned(self.clone())
        }
    }

    impl IntoText for Box<str> {
        fn into_text(self) -> Cow<'static, str> {
            Cow::Owned(self.into())
        }
    }

    impl IntoText for Cow<'static, str> {
        fn into_text(self) -> Cow<'static, str> {
            self
        }
    }
}

impl IntoText for &'static str {}
impl IntoText for String {}
impl IntoText for &String {}
impl IntoText for Box<str> {}
impl IntoText for Cow<'static, str> {}
