/// Implements `Body` for a type whose field `kind` has a field `body` in each variant. The
/// type has the parameter `B`, a body, and maybe another one before it.
macro_rules! forward_to_kinds {
    ($type:ident: $($variant:ident),+) => {
        $crate::body::forward_to_kinds!($type<B>: $($variant),+);
    };
    ($type:ident<B $(, $filter:ident: $bound:ident)?>: $($variant:ident),+) => {
        impl<$($filter: $bound,)? B> http_body::Body for $type<$($filter,)? B>
        where
            B: http_body::Body<Data = bytes::Bytes, Error: Into<$crate::BoxError>>,
        {
            type Data = bytes::Bytes;
            type Error = $crate::BoxError;

            #[inline]
            fn poll_frame(
                self: std::pin::Pin<&mut Self>,
                cx: &mut std::task::Context<'_>,
            ) -> std::task::Poll<Option<Result<http_body::Frame<bytes::Bytes>, $crate::BoxError>>>
            {
                match self.project().kind.project() {
                    $(KindProj::$variant { body } => body.poll_frame(cx).map_err(Into::into),)+
                }
            }

            #[inline]
            fn is_end_stream(&self) -> bool {
                match &self.kind {
                    $(Kind::$variant { body } => body.is_end_stream(),)+
                }
            }

            #[inline]
            fn size_hint(&self) -> http_body::SizeHint {
                match &self.kind {
                    $(Kind::$variant { body } => body.size_hint(),)+
                }
            }
        }
    };
}

pub(crate) use forward_to_kinds;
