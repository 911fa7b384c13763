//! Connections that look at what they read, and write as the one within them does.

/// The methods of tokio's `AsyncWrite`, for a structure that passes what is written to one of its fields; where that is an enumeration,
/// to what each kind of it holds.
macro_rules! writes_as {
    ($field:ident) => {
        writes_as!($field { inner => inner });
    };
    ($field:ident { $($kind:pat => $inner:ident),+ $(,)? }) => {
        fn poll_write(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            bytes: &[u8],
        ) -> std::task::Poll<std::io::Result<usize>> {
            match &mut self.$field {
                $($kind => std::pin::Pin::new($inner).poll_write(cx, bytes),)+
            }
        }

        fn is_write_vectored(&self) -> bool {
            match &self.$field {
                $($kind => $inner.is_write_vectored(),)+
            }
        }

        fn poll_write_vectored(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
            parts: &[std::io::IoSlice<'_>],
        ) -> std::task::Poll<std::io::Result<usize>> {
            match &mut self.$field {
                $($kind => std::pin::Pin::new($inner).poll_write_vectored(cx, parts),)+
            }
        }

        fn poll_flush(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            match &mut self.$field {
                $($kind => std::pin::Pin::new($inner).poll_flush(cx),)+
            }
        }

        fn poll_shutdown(
            mut self: std::pin::Pin<&mut Self>,
            cx: &mut std::task::Context<'_>,
        ) -> std::task::Poll<std::io::Result<()>> {
            match &mut self.$field {
                $($kind => std::pin::Pin::new($inner).poll_shutdown(cx),)+
            }
        }
    };
}
