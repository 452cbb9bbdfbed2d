use crate::*;

/// A stream that is always ready: the cheapest possible source, the same for all implementations.
pub struct Repeat<F> {
    made: u64,
    times: u64,
    make: F,
}

impl<F: FnMut(u64) -> T, T> Repeat<F> {
    pub const fn new(times: u64, make: F) -> Self {
        Self { made: 0, times, make }
    }
}

impl<F: FnMut(u64) -> T + Unpin, T> Stream for Repeat<F> {
    type Item = T;

    #[inline]
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<T>> {
        if self.made == self.times {
            return Poll::Ready(None);
        }
        self.made += 1;
        let number = self.made;
        Poll::Ready(Some((self.make)(number)))
    }
}
